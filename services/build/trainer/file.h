// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_FILE_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::build::trainer {

// Returns the whole of a file. NOT_FOUND if it cannot be opened; DATA_LOSS if reading breaks off.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes a file under a temporary name beside it, then renames it: a file that exists is whole.
// UNAVAILABLE names the file.
absl::Status WriteFile(const std::string& path, absl::string_view content);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_FILE_H_
