// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/fleet.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fieldloop::distribution {
namespace {

constexpr int kSecondsOfADay = 86400;
constexpr std::size_t kMaxSelectorEntries = 32;

template <typename Number>
absl::Status InRange(absl::string_view field, Number value, Number low, Number high) {
  if (value >= low && value <= high) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": got ", value, ", want ", low, " to ", high));
}

}  // namespace

absl::Status NormalizeSettings(FleetSettings& settings) {
  if (settings.check_in_seconds == 0) {
    settings.check_in_seconds = 300;
  }
  if (settings.sketch_period_seconds == 0) {
    settings.sketch_period_seconds = 300;
  }
  if (settings.trial_windows == 0) {
    settings.trial_windows = 30;
  }
  if (settings.trial_timeout_seconds == 0) {
    settings.trial_timeout_seconds = 600;
  }
  absl::Status status =
      InRange("check_in_seconds", settings.check_in_seconds, 1.0, double{kSecondsOfADay});
  status.Update(
      InRange("sketch_period_seconds", settings.sketch_period_seconds, 1, kSecondsOfADay));
  status.Update(InRange("trial_windows", settings.trial_windows, 1, 1'000'000));
  status.Update(
      InRange("trial_timeout_seconds", settings.trial_timeout_seconds, 1, 30 * kSecondsOfADay));
  if (settings.collection.has_value()) {
    Collection& collection = *settings.collection;
    if (collection.random_share == 0) {
      collection.random_share = 0.5;
    }
    status.Update(InRange("collection.samples_per_period", collection.samples_per_period, 0, 1000));
    status.Update(InRange("collection.random_share", collection.random_share, 0.5, 1.0));
    status.Update(InRange("collection.samples_total", collection.samples_total, 0, 1'000'000'000));
    if (collection.target.attributes.size() > kMaxSelectorEntries ||
        collection.target.hardware_ids.size() > kMaxSelectorEntries) {
      status.Update(absl::InvalidArgumentError(
          absl::StrCat("collection.target: want at most ", kMaxSelectorEntries, " entries")));
    }
  }
  return status;
}

void ReplaceSettings(FleetSettings& settings, const FleetSettings& wanted) {
  const int version = settings.version + 1;
  const int plan_id = settings.collection == wanted.collection ? settings.plan_id : version;
  settings = wanted;
  settings.version = version;
  settings.plan_id = plan_id;
}

}  // namespace fieldloop::distribution
