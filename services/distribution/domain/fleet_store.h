// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_STORE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_STORE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/distribution/domain/fleet.h"

namespace fieldloop::distribution {

// Keeps device states and settings.
//
// Thread-safe; every method is one transaction and may return UNAVAILABLE. What each implementation
// must do is checked in tests/services/distribution/storage/fleet_store_contract.h.
class FleetStore {
 public:
  FleetStore() = default;
  FleetStore(const FleetStore&) = delete;
  FleetStore& operator=(const FleetStore&) = delete;
  virtual ~FleetStore() = default;

  // Replaces the state of a device.
  virtual absl::Status PutState(const DeviceState& state) = 0;
  // Notes when devices were heard, unless later elsewhere; those without a state are left out.
  virtual absl::Status PutPresence(const std::vector<Presence>& presence) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<DeviceState> GetState(const std::string& device) = 0;
  // By name, names after `after`; only of devices that run the model `model_digest` unless it is
  // empty.
  virtual absl::StatusOr<std::vector<DeviceState>> ListStates(const std::string& project,
                                                              const std::string& model_digest,
                                                              const std::string& after,
                                                              int limit) = 0;

  // Empty when none were stored.
  virtual absl::StatusOr<std::optional<FleetSettings>> GetSettings(const std::string& project) = 0;
  // Lets `change` alter the settings, `initial` when none were stored, as one atomic step. `change`
  // may run more than once.
  virtual absl::StatusOr<FleetSettings> ChangeSettings(
      const std::string& project, const FleetSettings& initial,
      absl::FunctionRef<void(FleetSettings&)> change) = 0;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_STORE_H_
