// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/distribution/domain/component.h"
#include "services/distribution/domain/device.h"

namespace fieldloop::distribution {

// What a device reported last.
struct DeviceState {
  std::string device;
  std::vector<ComponentState> components;  // By kind, at most one of each.
  std::string hardware_id;
  std::string agent_version;
  std::int64_t boot_count = 0;
  std::int64_t dropped_uplinks = 0;
  absl::Time last_seen_time;
  // A session is open until then unless it is heard of again; in the past: none.
  absl::Time connected_until;

  friend bool operator==(const DeviceState&, const DeviceState&) = default;
};

// When a device was last heard.
struct Presence {
  std::string device;
  absl::Time last_seen_time;
  absl::Time connected_until;
};

// What devices send back.
struct Collection {
  DeviceSelector target;
  int samples_per_period = 0;
  double random_share = 0;  // 0 is read as 0.5.
  int samples_total = 0;    // 0: no limit.

  friend bool operator==(const Collection&, const Collection&) = default;
};

struct FleetSettings {
  double check_in_seconds = 0;    // 0 is read as 300.
  int sketch_period_seconds = 0;  // 0 is read as 300.
  std::optional<Collection> collection;
  int trial_windows = 0;          // 0 is read as 30.
  int trial_timeout_seconds = 0;  // 0 is read as 600.
  int version = 1;  // The defaults are version 1, so that a device without any gets them.
  int plan_id = 0;  // Version that set the collection: tells plans apart.

  friend bool operator==(const FleetSettings&, const FleetSettings&) = default;
};

// Fills in defaults. INVALID_ARGUMENT naming the first bad field.
absl::Status NormalizeSettings(FleetSettings& settings);

// Puts `wanted`, normalised, in the place of `settings` as its next version.
void ReplaceSettings(FleetSettings& settings, const FleetSettings& wanted);

struct ModelShare {
  std::string model_digest;
  int confirmed_count = 0;
  int trial_count = 0;
};

struct FleetSummary {
  int device_count = 0;
  int connected_count = 0;
  std::vector<ModelShare> models;  // By digest.
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_H_
