// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/quantisation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace fieldloop::build::trainer {
namespace {

constexpr double kLargestWeight = 127;
constexpr double kLargestBias = 1 << 30;
// Stands for the range of a tensor that is always 0.
constexpr double kLeastRange = 1e-3;

struct Extremes {
  float min = 0;
  float max = 0;

  void Add(float value) {
    min = std::min(min, value);
    max = std::max(max, value);
  }
  QuantisedRange ToRange() const { return RangeOf(min, max); }
};

double LargestMagnitude(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) {
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  return largest;
}

}  // namespace

QuantisedRange RangeOf(float min, float max) {
  const double low = std::min(static_cast<double>(min), 0.0);
  const double high = std::max({static_cast<double>(max), 0.0, low + kLeastRange});
  const auto scale = static_cast<float>((high - low) / 255.0);
  const double zero = std::round(-128.0 - low / static_cast<double>(scale));
  return {.scale = scale, .zero_point = static_cast<std::int32_t>(std::clamp(zero, -128.0, 127.0))};
}

QuantisedLayer QuantiseLayer(const DenseLayer& layer, float input_scale, QuantisedRange output) {
  double scale = LargestMagnitude(layer.weights) / kLargestWeight;
  if (scale == 0) {
    scale = 1.0 / kLargestWeight;  // No weight needs it; it serves the biases only.
  }
  scale = std::max(
      scale, LargestMagnitude(layer.bias) / (kLargestBias * static_cast<double>(input_scale)));
  QuantisedLayer result;
  result.inputs = layer.inputs;
  result.outputs = layer.outputs;
  result.output = output;
  result.weight_scale = static_cast<float>(scale);
  result.bias_scale = input_scale * result.weight_scale;
  for (const float weight : layer.weights) {
    const double quantised =
        std::round(static_cast<double>(weight) / static_cast<double>(result.weight_scale));
    result.weights.push_back(
        static_cast<std::int8_t>(std::clamp(quantised, -kLargestWeight, kLargestWeight)));
  }
  for (const float bias : layer.bias) {
    result.bias.push_back(static_cast<std::int32_t>(
        std::round(static_cast<double>(bias) / static_cast<double>(result.bias_scale))));
  }
  return result;
}

QuantisedNetwork Quantise(const DenseNetwork& network, const FeatureTable& features) {
  Extremes input;
  std::vector<Extremes> outputs(network.layers.size());
  for (std::size_t row = 0; row < features.rows; ++row) {
    for (std::size_t i = 0; i < features.columns; ++i) {
      input.Add(features.row(row)[i]);
    }
    const std::vector<std::vector<float>> activations = RunLayers(network, features.row(row));
    for (std::size_t i = 0; i < activations.size(); ++i) {
      for (const float value : activations[i]) {
        outputs[i].Add(value);
      }
    }
  }
  QuantisedNetwork result{.input = input.ToRange(), .layers = {}};
  QuantisedRange range = result.input;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    result.layers.push_back(QuantiseLayer(network.layers[i], range.scale, outputs[i].ToRange()));
    range = result.layers.back().output;
  }
  return result;
}

}  // namespace fieldloop::build::trainer
