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

  void Add(const float* values, std::size_t count) {
    const auto [low, high] = std::minmax_element(values, values + count);
    min = std::min(min, *low);
    max = std::max(max, *high);
  }
  QuantisedRange ToRange() const { return RangeOf(min, max); }
};

// Output channels from `first` to before `last` share a scale.
float ScaleOf(const Layer& layer, std::size_t first, std::size_t last, float input_scale) {
  double weight = 0;
  double bias = 0;
  for (std::size_t channel = first; channel < last; ++channel) {
    for (std::size_t i = 0; i < layer.form.weights_per_channel(); ++i) {
      weight = std::max(
          weight,
          std::abs(static_cast<double>(layer.weights[WeightIndex(layer.form, channel, i)])));
    }
    bias = std::max(bias, std::abs(static_cast<double>(layer.bias[channel])));
  }
  // Without weights the scale serves the biases only.
  const double scale = (weight == 0 ? 1 : weight) / kLargestWeight;
  return static_cast<float>(
      std::max(scale, bias / (kLargestBias * static_cast<double>(input_scale))));
}

}  // namespace

QuantisedRange RangeOf(float min, float max) {
  const double low = std::min(static_cast<double>(min), 0.0);
  const double high = std::max({static_cast<double>(max), 0.0, low + kLeastRange});
  const auto scale = static_cast<float>((high - low) / 255.0);
  const double zero = std::round(-128.0 - low / static_cast<double>(scale));
  return {.scale = scale, .zero_point = static_cast<std::int32_t>(std::clamp(zero, -128.0, 127.0))};
}

QuantisedLayer QuantiseLayer(const Layer& layer, QuantisedRange input, QuantisedRange output) {
  std::vector<float> scales;
  if (layer.form.kind == LayerKind::kDense) {
    scales.push_back(ScaleOf(layer, 0, layer.form.output.channels, input.scale));
  } else {
    for (std::size_t channel = 0; channel < layer.form.bias_count(); ++channel) {
      scales.push_back(ScaleOf(layer, channel, channel + 1, input.scale));
    }
  }
  return QuantiseLayer(layer, input, output, std::move(scales));
}

QuantisedLayer QuantiseLayer(const Layer& layer, QuantisedRange input, QuantisedRange output,
                             std::vector<float> weight_scales) {
  QuantisedLayer result{.form = layer.form,
                        .weights = std::vector<std::int8_t>(layer.weights.size()),
                        .weight_scales = std::move(weight_scales),
                        .bias = {},
                        .output = output};
  for (std::size_t channel = 0; channel < layer.form.bias_count(); ++channel) {
    const auto scale = static_cast<double>(result.weight_scale(channel));
    for (std::size_t i = 0; i < layer.form.weights_per_channel(); ++i) {
      const std::size_t index = WeightIndex(layer.form, channel, i);
      const double quantised = std::round(static_cast<double>(layer.weights[index]) / scale);
      result.weights[index] =
          static_cast<std::int8_t>(std::clamp(quantised, -kLargestWeight, kLargestWeight));
    }
    const float bias_scale = input.scale * result.weight_scale(channel);
    const double bias =
        std::round(static_cast<double>(layer.bias[channel]) / static_cast<double>(bias_scale));
    result.bias.push_back(static_cast<std::int32_t>(std::clamp(bias, -kLargestBias, kLargestBias)));
  }
  return result;
}

QuantisedNetwork Quantise(const Network& network, const FeatureTable& features) {
  Extremes input;
  std::vector<Extremes> outputs(network.layers.size());
  NetworkRunner runner(network);
  for (std::size_t row = 0; row < features.rows; ++row) {
    input.Add(features.row(row), features.columns);
    const std::vector<std::vector<float>>& activations = runner.Run(features.row(row));
    for (std::size_t i = 0; i < activations.size(); ++i) {
      outputs[i].Add(activations[i].data(), activations[i].size());
    }
  }
  QuantisedNetwork result{.input = input.ToRange(), .layers = {}};
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const QuantisedRange range = result.input_of(i);
    const QuantisedRange output = layer.form.is_pool() ? range : outputs[i].ToRange();
    result.layers.push_back(QuantiseLayer(layer, range, output));
  }
  return result;
}

QuantisedNetwork QuantiseLike(const QuantisedNetwork& parent, const Network& network) {
  QuantisedNetwork result{.input = parent.input, .layers = {}};
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const QuantisedLayer& like = parent.layers[i];
    result.layers.push_back(
        QuantiseLayer(network.layers[i], parent.input_of(i), like.output, like.weight_scales));
  }
  return result;
}

Network Dequantise(const QuantisedNetwork& quantised) {
  Network network;
  for (std::size_t i = 0; i < quantised.layers.size(); ++i) {
    const QuantisedLayer& layer = quantised.layers[i];
    Layer real{.form = layer.form, .weights = std::vector<float>(layer.weights.size()), .bias = {}};
    for (std::size_t channel = 0; channel < layer.form.bias_count(); ++channel) {
      const float scale = layer.weight_scale(channel);
      for (std::size_t j = 0; j < layer.form.weights_per_channel(); ++j) {
        const std::size_t index = WeightIndex(layer.form, channel, j);
        real.weights[index] = scale * static_cast<float>(layer.weights[index]);
      }
      real.bias.push_back(quantised.input_of(i).scale * scale *
                          static_cast<float>(layer.bias[channel]));
    }
    network.layers.push_back(std::move(real));
  }
  return network;
}

}  // namespace fieldloop::build::trainer
