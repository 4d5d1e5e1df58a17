// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINER_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINER_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "services/build/trainer/progress.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build::trainer {

// The command line.
struct TrainerOptions {
  std::string info_file;
  std::string data_directory;
  std::string out_directory;
  // Stand before those of the info file.
  std::optional<int> epochs;
  std::optional<double> learning_rate;
  // Networks that are trained at a time. The result does not depend on it.
  int threads = 1;
};

// Trains, quantises, checks and writes model.tflite, metrics.json and after a search
// candidates.json, as docs/trainer.md says.
//
// INVALID_ARGUMENT, NOT_FOUND name file and field; FAILED_PRECONDITION if no network keeps the
// budget; UNAVAILABLE if the output cannot be written.
absl::Status Train(const TrainerOptions& options, const Clock& clock, Progress& progress);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_TRAINER_H_
