// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINING_DATA_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINING_DATA_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/build/trainer/train_input.h"
#include "services/common/npy/npy_array.h"

namespace fieldloop::build::trainer {

// Labelled windows of raw signal.
struct LabelledWindows {
  NpyArray<float> windows;  // One row a window: axes within a reading.
  std::vector<int> labels;  // Index of the class, from 0.
  std::vector<std::int32_t>
      groups;                     // Windows of one group stay in one fold. Training windows only.
  std::vector<bool> from_device;  // Recorded by a device, not uploaded. Training windows only.

  std::size_t size() const { return labels.size(); }
};

// The content of a data directory.
struct TrainingData {
  LabelledWindows train;
  LabelledWindows test;  // May be empty.
};

// Reads and checks the .npy files of `directory` against each other and against `input`. Where
// groups_train.npy names fewer than two groups, each sample is a group.
//
// INVALID_ARGUMENT, NOT_FOUND name the file, the row and what was expected.
absl::StatusOr<TrainingData> ReadTrainingData(const std::string& directory,
                                              const TrainInput& input);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINING_DATA_H_
