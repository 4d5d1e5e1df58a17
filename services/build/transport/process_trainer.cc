// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_trainer.h"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/transport/trainer_files.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kModelFile[] = "model.tflite";

}  // namespace

ProcessTrainer::ProcessTrainer(TrainerProgram program, TrainerRunner& runner)
    : program_(std::move(program)), runner_(runner) {}

absl::StatusOr<TrainerIdentity> ProcessTrainer::Identify() {
  FIELDLOOP_ASSIGN_OR_RETURN(std::string digest, DigestOf(program_));
  return TrainerIdentity{
      .id = program_.id, .digest = std::move(digest), .contract = TrainerContract::kFieldloop};
}

absl::StatusOr<TrainedModel> ProcessTrainer::Train(const TrainingJob& job, std::stop_token stop,
                                                   TrainerListener& listener) {
  FIELDLOOP_RETURN_IF_ERROR(
      WriteJson(TrainInput(job), absl::StrCat(job.directory, "/train_input.json")));
  const TrainerTask task{.project = job.project,
                         .number = job.number,
                         .program = program_,
                         .data_directory = job.directory,
                         .out_directory = job.out_directory,
                         .scratch_directory = job.scratch_directory,
                         .arguments = {},
                         .outputs = {{.name = kModelFile, .max_bytes = kMaxModelBytes},
                                     {.name = kMetricsFile, .max_bytes = kMaxMetricsBytes}}};
  FIELDLOOP_RETURN_IF_ERROR(runner_.Run(task, stop, listener));
  TrainedModel trained;
  FIELDLOOP_ASSIGN_OR_RETURN(trained.file, ReadOutput(job.out_directory, kModelFile));
  FIELDLOOP_ASSIGN_OR_RETURN(trained.metrics, ReadMetrics(job.out_directory));
  return trained;
}

}  // namespace fieldloop::build
