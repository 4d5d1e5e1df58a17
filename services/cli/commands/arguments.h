// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_COMMANDS_ARGUMENTS_H_
#define FIELDLOOP_SERVICES_CLI_COMMANDS_ARGUMENTS_H_

#include <map>
#include <string>
#include <vector>

#include <google/protobuf/timestamp.pb.h>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fieldloop::cli {

// "key=value" arguments of a flag. INVALID_ARGUMENT naming the flag and what it got.
absl::StatusOr<std::map<std::string, std::string>> KeyValues(
    const std::string& flag, const std::vector<std::string>& arguments);

// Sets a proto map from pairs.
template <typename Map>
void Assign(Map& map, const std::map<std::string, std::string>& pairs) {
  map.clear();
  for (const auto& [key, value] : pairs) {
    map[key] = value;
  }
}

// "90s", "24h", "30d". INVALID_ARGUMENT naming the flag.
absl::StatusOr<absl::Duration> DurationOf(const std::string& flag, const std::string& text);

// "2026-01-31T12:00:00Z" (or with another offset), "2026-01-31 12:00:00" as the tables print it, in
// UTC, or "2026-01-31", midnight. INVALID_ARGUMENT naming the flag.
absl::StatusOr<absl::Time> TimeOf(const std::string& flag, const std::string& text);

// Now plus `duration`, for expiry times.
google::protobuf::Timestamp FromNow(absl::Duration duration);

// The whole file. INVALID_ARGUMENT naming it if it cannot be read.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes a file under a temporary name and renames it.
absl::Status WriteFile(const std::string& path, const std::string& content, int mode = 0644);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_COMMANDS_ARGUMENTS_H_
