// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_QUANTISATION_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_QUANTISATION_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "services/build/trainer/dense_network.h"
#include "services/build/packaging/feature_table.h"

namespace fieldloop::build::trainer {

// real = scale * (quantised - zero_point).
struct QuantisedRange {
  float scale = 1;
  std::int32_t zero_point = 0;
};

// A dense layer in int8. Its input has the range of the layer before it.
//
// Weights have one scale for the layer. The format also has one per output, which newer
// interpreters run; those of 2022 (TensorFlow Lite 2.9) open such a file and compute something else
// without a word.
struct QuantisedLayer {
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  std::vector<std::int8_t> weights;  // outputs x inputs, zero point 0.
  float weight_scale = 1;
  std::vector<std::int32_t> bias;  // Zero point 0.
  float bias_scale = 1;            // Input scale times weight scale.
  QuantisedRange output;
};

// A dense network in int8, by the TensorFlow Lite 8-bit quantisation specification. RELU between
// the layers, SOFTMAX behind the last one.
struct QuantisedNetwork {
  QuantisedRange input;
  std::vector<QuantisedLayer> layers;
};

// The int8 range that holds `min` to `max` and 0: scale = (max - min) / 255,
// zero_point = round(-128 - min / scale), clamped.
QuantisedRange RangeOf(float min, float max);

// Quantises one layer whose input has the scale `input_scale`: symmetric weights, scale = max|w| /
// 127, halves away from zero. The scale is larger where a bias would else leave 31 bits.
QuantisedLayer QuantiseLayer(const DenseLayer& layer, float input_scale, QuantisedRange output);

// Quantises `network`; the ranges of activations are the extremes over `features`, which are
// standardised and have at least one row.
QuantisedNetwork Quantise(const DenseNetwork& network, const FeatureTable& features);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_QUANTISATION_H_
