// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_QUANTISATION_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_QUANTISATION_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "services/build/packaging/feature_table.h"
#include "services/build/trainer/network.h"

namespace fieldloop::build::trainer {

// real = scale * (quantised - zero_point).
struct QuantisedRange {
  float scale = 1;
  std::int32_t zero_point = 0;

  // The real values of -128 and 127.
  float low() const { return scale * static_cast<float>(-128 - zero_point); }
  float high() const { return scale * static_cast<float>(127 - zero_point); }
};

// A layer in int8. Its input has the range of the output of the layer before it.
//
// Convolutions have a weight scale for each output channel. Dense layers have one for the layer:
// the format also has one for each output, which newer interpreters run; those of 2022 (TensorFlow
// Lite 2.9) open such a file and compute something else without a word.
struct QuantisedLayer {
  LayerForm form;
  std::vector<std::int8_t> weights;  // As Layer::weights, zero point 0.
  std::vector<float> weight_scales;  // One, or one for each output channel; none in a pool.
  std::vector<std::int32_t> bias;    // Zero point 0; its scale is input scale times weight scale.
  QuantisedRange output;             // A pool's is that of its input.

  float weight_scale(std::size_t channel) const {
    return weight_scales[weight_scales.size() == 1 ? 0 : channel];
  }
};

// A network in int8, by the TensorFlow Lite 8-bit quantisation specification. SOFTMAX follows
// behind the last layer.
struct QuantisedNetwork {
  QuantisedRange input;
  std::vector<QuantisedLayer> layers;

  // The range of the input of a layer.
  QuantisedRange input_of(std::size_t layer) const {
    return layer == 0 ? input : layers[layer - 1].output;
  }
};

// The int8 range that holds `min` to `max` and 0: scale = (max - min) / 255,
// zero_point = round(-128 - min / scale), clamped.
QuantisedRange RangeOf(float min, float max);

// Quantises one layer: symmetric weights, scale = max|w| / 127, halves away from
// zero. The scale is larger where a bias would else leave 31 bits.
QuantisedLayer QuantiseLayer(const Layer& layer, QuantisedRange input, QuantisedRange output);

// As above, with given weight scales; weights beyond them are cut.
QuantisedLayer QuantiseLayer(const Layer& layer, QuantisedRange input, QuantisedRange output,
                             std::vector<float> weight_scales);

// Quantises `network`; the ranges of activations are the extremes over `features`, which are
// standardised and have at least one row.
QuantisedNetwork Quantise(const Network& network, const FeatureTable& features);

// Quantises `network`, which has the form of `parent`, with the scales and zero points of `parent`.
QuantisedNetwork QuantiseLike(const QuantisedNetwork& parent, const Network& network);

// The network that `quantised` stands for.
Network Dequantise(const QuantisedNetwork& quantised);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_QUANTISATION_H_
