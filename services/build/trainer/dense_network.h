// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_DENSE_NETWORK_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_DENSE_NETWORK_H_

#include <cstddef>
#include <vector>

namespace fieldloop::build::trainer {

// outputs = weights * inputs + bias.
struct DenseLayer {
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  std::vector<float> weights;  // outputs x inputs, row by row.
  std::vector<float> bias;     // One per output.
};

// Dense layers with RELU between them; the last one gives logits.
struct DenseNetwork {
  std::vector<DenseLayer> layers;

  std::size_t parameter_count() const;
};

// Returns the outputs of every layer, after its RELU, for one row of features; the last are logits.
std::vector<std::vector<float>> RunLayers(const DenseNetwork& network, const float* features);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_DENSE_NETWORK_H_
