// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/dense_network.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace fieldloop::build::trainer {

std::size_t DenseNetwork::parameter_count() const {
  std::size_t count = 0;
  for (const DenseLayer& layer : layers) {
    count += layer.weights.size() + layer.bias.size();
  }
  return count;
}

std::vector<std::vector<float>> RunLayers(const DenseNetwork& network, const float* features) {
  std::vector<std::vector<float>> activations;
  const float* in = features;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const DenseLayer& layer = network.layers[i];
    const bool last = i + 1 == network.layers.size();
    std::vector<float> out = layer.bias;
    for (std::size_t unit = 0; unit < layer.outputs; ++unit) {
      const float* weights = layer.weights.data() + unit * layer.inputs;
      for (std::size_t j = 0; j < layer.inputs; ++j) {
        out[unit] += weights[j] * in[j];
      }
      if (!last) {
        out[unit] = std::max(out[unit], 0.0F);
      }
    }
    activations.push_back(std::move(out));
    in = activations.back().data();
  }
  return activations;
}

}  // namespace fieldloop::build::trainer
