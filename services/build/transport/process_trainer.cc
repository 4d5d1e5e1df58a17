// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_trainer.h"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/transport/trainer_files.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {

ProcessTrainer::ProcessTrainer(TrainerProgram program, const Clock& clock)
    : program_(std::move(program)), clock_(clock) {}

absl::StatusOr<TrainerIdentity> ProcessTrainer::Identify() {
  FIELDLOOP_ASSIGN_OR_RETURN(std::string digest, DigestOf(program_));
  return TrainerIdentity{
      .id = program_.id, .digest = std::move(digest), .contract = TrainerContract::kFieldloop};
}

absl::StatusOr<TrainedModel> ProcessTrainer::Train(const TrainingJob& job, std::stop_token stop,
                                                   TrainerListener& listener) {
  const std::string info_file = absl::StrCat(job.directory, "/train_input.json");
  FIELDLOOP_RETURN_IF_ERROR(WriteJson(TrainInput(job), info_file));
  FIELDLOOP_RETURN_IF_ERROR(RunTrainer(program_, job,
                                       {"--info-file", info_file, "--data-directory", job.directory,
                                        "--out-directory", job.out_directory},
                                       stop, clock_, listener));
  TrainedModel trained;
  FIELDLOOP_ASSIGN_OR_RETURN(trained.file,
                             ReadOutput(job.out_directory, "model.tflite", kMaxModelBytes));
  FIELDLOOP_ASSIGN_OR_RETURN(trained.metrics, ReadMetrics(job.out_directory));
  return trained;
}

}  // namespace fieldloop::build
