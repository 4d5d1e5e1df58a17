// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_RESOURCE_RESOURCE_NAME_H_
#define FIELDLOOP_SERVICES_COMMON_RESOURCE_RESOURCE_NAME_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// Matches `name` against a pattern such as "projects/*/devices/*" and returns what the stars stand
// for. INVALID_ARGUMENT, naming `field`, if it does not match; a star matches 1 to 63 characters of
// [A-Za-z0-9_.-].
absl::StatusOr<std::vector<std::string>> ParseResourceName(absl::string_view field,
                                                           absl::string_view pattern,
                                                           absl::string_view name);

// Returns "projects/x", the first two segments of `resource`; "" for "". INVALID_ARGUMENT if it
// does not begin so.
absl::StatusOr<std::string> ProjectOf(absl::string_view resource);

// OK if `id` is 2 to 39 characters of [a-z0-9-] that start with a letter; INVALID_ARGUMENT naming
// `field` otherwise.
absl::Status ValidateId(absl::string_view field, absl::string_view id);

// Page sizes of the API: 0 means 50, more than 1000 is read as 1000, less is INVALID_ARGUMENT.
absl::StatusOr<int> PageSize(int requested);

// A page token is the key of the last row, made opaque. DecodePageToken returns "" for "";
// INVALID_ARGUMENT if it is not one of ours.
std::string EncodePageToken(absl::string_view key);
absl::StatusOr<std::string> DecodePageToken(absl::string_view token);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_RESOURCE_RESOURCE_NAME_H_
