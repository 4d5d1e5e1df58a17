// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_RUN_SPEC_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_RUN_SPEC_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/trainer_runner.h"

namespace fieldloop::build {

// The file of a run's archive that says what is to be run; the others are the data.
inline constexpr char kSpecFile[] = "run.json";

// `task` as another machine needs it: without folders. `digest` is that of the program's file,
// which the other machine has to have as well; empty where the program is known by its image.
std::string TextOfTask(const TrainerTask& task, absl::string_view digest);

// The way back, with folders for the caller to fill in. INVALID_ARGUMENT.
struct RunSpec {
  TrainerTask task;
  std::string digest;
};
absl::StatusOr<RunSpec> ParseTask(absl::string_view text);

// Writes the archive that a run gets: kRunFile, kSpecFile and the files of the data folder, in the
// order of their names. UNAVAILABLE if one cannot be read.
absl::Status WriteRunInputs(const TrainerTask& task, absl::string_view digest, absl::string_view id,
                            absl::FunctionRef<absl::Status(absl::string_view)> sink);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_RUN_SPEC_H_
