// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace fieldloop::ingestion {

// What is deleted after which time. Nothing: never.
struct Retention {
  std::optional<absl::Duration> unlabelled{};
  std::optional<absl::Duration> labelled{};
  std::int64_t max_bytes = 0;  // Of payloads in the project; 0: no limit.

  friend bool operator==(const Retention&, const Retention&) = default;
};

// How a project's recordings are read and kept.
struct Settings {
  std::string project;
  double frequency_hz = 0;         // Uneven recordings get it; 0: the median of the file's own.
  bool strict_signatures = false;  // Needs a key.
  std::string signature_key{};     // Empty: none.
  std::map<std::string, std::string> units{};  // By axis, or by "*" for those that are not named.
  double min_seconds = 0;
  double max_seconds = 0;  // 0: no limit.
  Retention retention{};
  std::string split_key{};  // For uploads that name none; empty: each sample for itself.

  friend bool operator==(const Settings&, const Settings&) = default;
};

// INVALID_ARGUMENT naming the first bad field.
absl::Status ValidateSettings(const Settings& settings);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SETTINGS_H_
