// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_PROGRAM_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_PROGRAM_H_

#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/build/domain/trainer.h"
#include "services/build/domain/trainer_program.h"
#include "services/build/domain/trainer_runner.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// The built-in trainer: `path` alone.
TrainerProgram BuiltInTrainer(const std::string& path, const TrainerLimits& limits);

// What decides the outcome, in hex. Of a program that is one file and nothing more, the SHA-256 of
// the file; of others the SHA-256 over contract, words, environment, image, and the name and
// SHA-256 of each file, in order. ABORTED, with a sentence for people, if a file cannot be read.
absl::StatusOr<std::string> DigestOf(const TrainerProgram& program);

// The arguments of a call of `task` on a machine that has its folders there.
std::vector<std::string> ArgumentsOf(const TrainerTask& task);

// Runs the program of `task` below this process, in the scratch directory, as TrainerRunner::Run
// says. What it wrote is not looked at.
absl::Status RunTrainer(const TrainerTask& task, std::stop_token stop, const Clock& clock,
                        TrainerListener& listener);

// ABORTED, with a sentence for people, if an output of `task` is larger than it may be.
absl::Status CheckOutputs(const TrainerTask& task);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_PROGRAM_H_
