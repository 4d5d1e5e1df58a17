// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_runner.h"

#include "absl/strings/str_cat.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {

absl::Status ProcessRunner::Check(const TrainerProgram& program) const {
  if (!program.image.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the trainer ", program.id,
        " has an image, which only Kubernetes can run: want --jobs, or a trainer without image"));
  }
  return absl::OkStatus();
}

absl::Status ProcessRunner::Run(const TrainerTask& task, std::stop_token stop,
                                TrainerListener& listener) {
  FIELDLOOP_RETURN_IF_ERROR(RunTrainer(task, stop, clock_, listener));
  return CheckOutputs(task);
}

}  // namespace fieldloop::build
