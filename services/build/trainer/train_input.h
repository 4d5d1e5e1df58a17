// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TRAIN_INPUT_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TRAIN_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::build::trainer {

// Random changes of training windows; the fields are those of fieldloop.build.v1.Augmentation.
struct AugmentationOptions {
  int copies = 0;
  double rotation_degrees = 0;
  double gain = 0;
  double noise = 0;
  bool half_turns = false;
  int time_shift = 0;
  int time_mask = 0;
  int frequency_mask = 0;
};

enum class NetworkKind : std::uint8_t { kDense, kConv1d, kConv2d };

// The fields are those of fieldloop.build.v1.ConvBlock.
struct ConvBlock {
  int filters = 0;
  int kernel = 3;
  int stride = 1;
  int pool = 1;
};

// Which network; the fields are those of fieldloop.build.v1.Learning. What is empty is left to
// CompleteNetwork.
struct NetworkOptions {
  NetworkKind kind = NetworkKind::kDense;
  std::vector<ConvBlock> conv_blocks;
  std::vector<int> dense_units;
};

enum class AnomalyMethod : std::uint8_t { kKMeans, kGaussianMixture };

// The fields are those of fieldloop.build.v1.AnomalyLearning.
struct AnomalyOptions {
  AnomalyMethod method = AnomalyMethod::kKMeans;
  int components = 16;
  int features = 8;
  double quantile = 0.99;
};

// The fields are those of fieldloop.build.v1.Budget; 0 is no limit.
struct BudgetOptions {
  double flash_kb = 0;
  double ram_kb = 0;
  double mega_instructions = 0;
  int trials = 10;
};

// How to learn; the fields are those of fieldloop.build.v1.Learning.
struct LearningOptions {
  NetworkOptions network;
  int epochs = 60;
  double learning_rate = 0.002;
  int batch_size = 64;
  double dropout = 0;
  double weight_decay = 0.0001;
  AugmentationOptions augmentation;
  bool balance_classes = false;
  double device_weight = 0;
  int early_stopping_patience = 0;
  double validation_share = 0.2;
  std::optional<AnomalyOptions> anomaly;
  std::optional<BudgetOptions> budget;
};

// What train_input.json says.
struct TrainInput {
  std::uint64_t seed = 1;
  // In the order of the network's outputs.
  std::vector<std::string> classes;
  // Window, magnitudes, blocks and classes; nothing that training finds out.
  fieldloop::agent::v1::Impulse impulse;
  LearningOptions learning;
  // Names of features to take as reference channels; empty leaves the choice to the trainer.
  std::vector<std::string> reference_channels;
  // Name of a file in the data directory: the model to start from. Empty: none.
  std::string parent_model;

  // Readings of a window times axes of the sensor.
  std::size_t window_values() const {
    return std::size_t{impulse.window().length()} *
           static_cast<std::size_t>(impulse.window().axes_size());
  }
};

// Parses the content of train_input.json. A field that is missing has its default, and so has 0
// where 0 is out of its range.
//
// INVALID_ARGUMENT says "train_input.json: field: got X, want Y".
absl::StatusOr<TrainInput> ParseTrainInput(absl::string_view json);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TRAIN_INPUT_H_
