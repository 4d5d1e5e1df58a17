// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TRAIN_INPUT_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TRAIN_INPUT_H_

#include <cstddef>
#include <cstdint>
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
};

// How to learn; the fields are those of fieldloop.build.v1.Learning.
struct LearningOptions {
  std::vector<int> dense_units = {32, 16};
  int epochs = 60;
  double learning_rate = 0.002;
  int batch_size = 64;
  double dropout = 0;
  double weight_decay = 0.0001;
  AugmentationOptions augmentation;
  bool balance_classes = false;
  double device_weight = 0;
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

  // Readings of a window times axes of the sensor.
  std::size_t window_values() const {
    return std::size_t{impulse.window().length()} *
           static_cast<std::size_t>(impulse.window().axes_size());
  }
};

// Parses the content of train_input.json. A field that is missing has its default, and so has 0 for
// epochs, learning_rate and batch_size.
//
// INVALID_ARGUMENT says "train_input.json: field: got X, want Y".
absl::StatusOr<TrainInput> ParseTrainInput(absl::string_view json);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TRAIN_INPUT_H_
