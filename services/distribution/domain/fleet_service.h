// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_SERVICE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_SERVICE_H_

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/mutex.h"
#include "services/distribution/domain/device_table.h"
#include "services/distribution/domain/fleet.h"
#include "services/distribution/domain/fleet_store.h"

namespace fieldloop::distribution {

struct DeviceStatePage {
  std::vector<DeviceState> states;
  std::string next_page_token;
};

// Device states, who is connected, and settings. Thread-safe.
//
// When a device was heard is kept in memory and written by FlushPresence, so that a check-in with
// nothing new costs no write; everything that is acknowledged is written at once.
class FleetService {
 public:
  // All of them must outlive this object.
  FleetService(FleetStore& store, const DeviceTable& devices, const Clock& clock);

  // Committed when it returns OK.
  absl::Status RecordState(DeviceState state);
  // The device was heard; its session ends at `connected_until` unless it is heard again.
  void Seen(const std::string& device, absl::Time connected_until);
  // Its session has ended.
  void Gone(const std::string& device);
  absl::Status FlushPresence();

  // NOT_FOUND until the device has reported.
  absl::StatusOr<DeviceState> GetState(const std::string& device);
  // Of all devices, or of those that run the model with a digest.
  absl::StatusOr<DeviceStatePage> ListStates(const std::string& project,
                                             const std::string& model_digest, int page_size,
                                             absl::string_view page_token);
  absl::StatusOr<FleetSummary> Summarize(const std::string& project);

  // At most kSettingsAge old when another replica changed them.
  absl::StatusOr<FleetSettings> GetSettings(const std::string& project);
  absl::StatusOr<FleetSettings> UpdateSettings(const std::string& project, FleetSettings wanted);

  bool IsConnected(const DeviceState& state) const;

 private:
  static constexpr absl::Duration kSettingsAge = absl::Seconds(1);

  struct LivePresence {
    Presence presence;
    bool dirty = false;
  };
  struct CachedSettings {
    FleetSettings settings;
    absl::Time read_time;
  };

  void ApplyPresence(DeviceState& state) const;

  FleetStore& store_;
  const DeviceTable& devices_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, LivePresence> presence_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, CachedSettings> settings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_SERVICE_H_
