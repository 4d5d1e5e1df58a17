// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/settings.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/sample.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMaxKeyBytes = 128;
constexpr std::size_t kMaxUnits = 256;
constexpr std::size_t kMaxUnitsBytes = 63;
constexpr std::size_t kMaxSplitKeyBytes = 39;

absl::Status ValidateAmount(absl::string_view field, double value, double most) {
  if (!(value >= 0 && value <= most)) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got ", value, ", want 0 to ", most));
  }
  return absl::OkStatus();
}

absl::Status ValidateKey(const Settings& settings) {
  const std::string& key = settings.signature_key;
  const bool ascii =
      std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (key.size() > kMaxKeyBytes || !ascii) {
    return absl::InvalidArgumentError(
        absl::StrCat("settings.signature_key: got ", key.size(), " bytes",
                     ascii ? "" : " not all of which are printable",
                     ", want printable ASCII of 1 to ", kMaxKeyBytes));
  }
  if (settings.strict_signatures && key.empty()) {
    return absl::InvalidArgumentError(
        "settings.strict_signatures: got true without a key, want settings.signature_key too");
  }
  return absl::OkStatus();
}

absl::Status ValidateUnits(const Settings& settings) {
  if (settings.units.size() > kMaxUnits) {
    return absl::InvalidArgumentError(absl::StrCat("settings.units: got ", settings.units.size(),
                                                   " entries, want at most ", kMaxUnits));
  }
  for (const auto& [axis, units] : settings.units) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateText("settings.units key", axis, 1, kMaxAxisBytes));
    FIELDLOOP_RETURN_IF_ERROR(
        ValidateText(absl::StrCat("settings.units[", Quoted(axis), "]"), units, 1, kMaxUnitsBytes));
  }
  return absl::OkStatus();
}

absl::Status ValidateAge(absl::string_view field, const std::optional<absl::Duration>& age) {
  if (age.has_value() && (*age <= absl::ZeroDuration() || *age == absl::InfiniteDuration())) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", absl::FormatDuration(*age), ", want more than 0"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateSettings(const Settings& settings) {
  constexpr double kAny = std::numeric_limits<double>::max();
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateAmount("settings.frequency_hz", settings.frequency_hz, kMaxFrequencyHz));
  FIELDLOOP_RETURN_IF_ERROR(ValidateKey(settings));
  FIELDLOOP_RETURN_IF_ERROR(ValidateUnits(settings));
  FIELDLOOP_RETURN_IF_ERROR(ValidateAmount("settings.min_seconds", settings.min_seconds, kAny));
  FIELDLOOP_RETURN_IF_ERROR(ValidateAmount("settings.max_seconds", settings.max_seconds, kAny));
  if (settings.max_seconds > 0 && settings.max_seconds < settings.min_seconds) {
    return absl::InvalidArgumentError(absl::StrCat("settings.max_seconds: got ",
                                                   settings.max_seconds, ", want 0 or at least ",
                                                   settings.min_seconds, ", the min_seconds"));
  }
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateAge("settings.retention.unlabelled", settings.retention.unlabelled));
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateAge("settings.retention.labelled", settings.retention.labelled));
  if (settings.retention.max_bytes < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "settings.retention.max_bytes: got ", settings.retention.max_bytes, ", want 0 or more"));
  }
  return ValidateText("settings.split_key", settings.split_key, 0, kMaxSplitKeyBytes);
}

}  // namespace fieldloop::ingestion
