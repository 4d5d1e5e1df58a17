// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_DENSE_TRAINING_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_DENSE_TRAINING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "services/build/trainer/dense_network.h"
#include "services/build/packaging/feature_table.h"

namespace fieldloop::build::trainer {

// What a network is trained on.
struct DenseTrainingSet {
  FeatureTable features;       // Standardised.
  std::vector<int> labels;     // One per row, 0 to classes - 1.
  std::vector<float> weights;  // One per row: its share of the loss; mean 1.
  std::size_t classes = 0;
};

// How a network is trained.
struct DenseTrainingOptions {
  std::vector<int> hidden_units;
  int epochs = 1;
  double learning_rate = 0;
  int batch_size = 1;
  double dropout = 0;       // Behind each hidden layer.
  double weight_decay = 0;  // Decoupled; of weights, not of biases.
  std::uint64_t seed = 1;
  // Tells runs with the same seed apart.
  std::uint64_t stream = 0;
};

// How one pass over the training set went.
struct EpochResult {
  int epoch = 0;  // From 1.
  double loss = 0;
  double accuracy = 0;
};

// Trains with AdamW on the weighted cross entropy; the learning rate falls to 0 along a half
// cosine. Calls `on_epoch` after every pass. Runs on one thread and gives the same bits for the
// same arguments on the same kind of processor.
//
// INVALID_ARGUMENT when the loss stops being a number; INTERNAL when libtorch fails.
absl::StatusOr<DenseNetwork> TrainDenseNetwork(
    const DenseTrainingSet& set, const DenseTrainingOptions& options,
    const std::function<void(const EpochResult&)>& on_epoch);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_DENSE_TRAINING_H_
