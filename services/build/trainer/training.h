// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINING_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "services/build/packaging/feature_table.h"
#include "services/build/trainer/network.h"
#include "services/build/trainer/quantisation.h"

namespace fieldloop::build::trainer {

// What a network is trained on, or judged by.
struct TrainingSet {
  FeatureTable features;       // Standardised.
  std::vector<int> labels;     // One per row, below the outputs of the network.
  std::vector<float> weights;  // One per row: its share of the loss; mean 1.
};

// How a network is trained.
struct TrainingOptions {
  int epochs = 1;
  double learning_rate = 0;
  int batch_size = 1;
  double dropout = 0;       // In front of each dense layer that does not take the features.
  double weight_decay = 0;  // Decoupled; of weights, not of biases.
  // Passes without a smaller loss on the validation set after which training stops; 0 never does.
  int patience = 0;
  std::uint64_t seed = 1;
  // Tells runs with the same seed apart.
  std::uint64_t stream = 0;
  // Optional; of the same form as the network. Training starts from its weights, a third as fast,
  // pulls towards them (by the L1 norm) instead of decaying, and keeps weights and outputs of
  // layers within what its scales can hold.
  const QuantisedNetwork* parent = nullptr;
};

// How one pass over the training set went.
struct EpochResult {
  int epoch = 0;  // From 1.
  double loss = 0;
  double accuracy = 0;
  // With a validation set only.
  std::optional<double> validation_loss;
  std::optional<double> validation_accuracy;
};

// Trains the network that `description` describes with AdamW on the weighted cross entropy; the
// learning rate falls to 0 along a half cosine. Convolutions are normalised by batch while they
// train; what is returned has that folded into its weights. Calls `on_epoch` after every pass. With
// `validation` rows and patience the weights are those of the pass with the least validation loss.
//
// Runs on the calling thread and gives the same bits for the same arguments on the same kind of
// processor, also when several threads train at once.
//
// INVALID_ARGUMENT when the loss stops being a number; INTERNAL when libtorch fails.
absl::StatusOr<Network> TrainNetwork(const Network& description, const TrainingSet& training,
                                     const TrainingSet& validation, const TrainingOptions& options,
                                     const std::function<void(const EpochResult&)>& on_epoch);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINING_H_
