// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINERS_FILE_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINERS_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/transport/trainer_program.h"

namespace fieldloop::build {

// Reads the trainers of an installation from JSON (docs/trainers.md). Files are looked for in
// `folder`, and the first word of a command without a slash in PATH; `limits` are those of a
// trainer that says no others. INVALID_ARGUMENT names the field.
absl::StatusOr<std::vector<TrainerProgram>> ParseTrainers(absl::string_view json,
                                                          const std::string& folder,
                                                          const TrainerLimits& limits);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINERS_FILE_H_
