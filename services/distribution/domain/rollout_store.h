// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_STORE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/distribution/domain/rollout.h"

namespace fieldloop::distribution {

// One rollout inside a transaction: what it reads is what stands, what it collects is written when
// the body returns OK.
class RolloutEdit {
 public:
  RolloutEdit() = default;
  RolloutEdit(const RolloutEdit&) = delete;
  RolloutEdit& operator=(const RolloutEdit&) = delete;
  virtual ~RolloutEdit() = default;

  // NOT_FOUND if the device is not in the rollout.
  virtual absl::StatusOr<RolloutDevice> Device(const std::string& device) = 0;
  // Devices offered, not done, whose offer is at or before `time`.
  virtual absl::StatusOr<std::vector<RolloutDevice>> OpenOffersUntil(absl::Time time) = 0;
  virtual absl::StatusOr<std::vector<RolloutDevice>> Pending() = 0;
  // True if an event of this report of the device is stored.
  virtual absl::StatusOr<bool> HasReport(const std::string& device, std::uint64_t sequence) = 0;

  Rollout rollout;                     // Changed in place.
  std::vector<RolloutDevice> changed;  // Devices to write.
  std::vector<RolloutEvent> events;    // Events to append.
};

// A new rollout with its number.
struct NewRollout {
  Rollout rollout;
  std::vector<RolloutDevice> devices;
  std::vector<RolloutEvent> events;
};

// Keeps rollouts, their devices and their events.
//
// Thread-safe; every method is one transaction and may return UNAVAILABLE. What each implementation
// must do is checked in tests/services/distribution/storage/rollout_store_contract.h.
class RolloutStore {
 public:
  RolloutStore() = default;
  RolloutStore(const RolloutStore&) = delete;
  RolloutStore& operator=(const RolloutStore&) = delete;
  virtual ~RolloutStore() = default;

  // Stores what `make` returns for the project's next number. With a request_id that was used
  // before it returns that rollout. FAILED_PRECONDITION, reason ROLLOUT_ACTIVE, if another is not
  // done.
  virtual absl::StatusOr<Rollout> Create(
      const std::string& project, const std::string& request_id,
      absl::FunctionRef<NewRollout(std::int64_t number)> make) = 0;

  // Lets `body` alter a rollout as one atomic step and returns it. If `body` returns an error,
  // nothing is written and that error is returned. `body` may run more than once. NOT_FOUND.
  // INTERNAL, and nothing written, if more devices would be offered than the quota.
  virtual absl::StatusOr<Rollout> Change(const std::string& project, std::int64_t number,
                                         absl::FunctionRef<absl::Status(RolloutEdit&)> body) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<Rollout> Get(const std::string& project, std::int64_t number) = 0;
  virtual absl::StatusOr<std::optional<Rollout>> FindByRequest(const std::string& project,
                                                               const std::string& request_id) = 0;
  // The rollout of a project that is running or paused.
  virtual absl::StatusOr<std::optional<Rollout>> FindActive(const std::string& project) = 0;
  // All that are running or paused.
  virtual absl::StatusOr<std::vector<Rollout>> ListActive() = 0;
  virtual absl::StatusOr<std::map<RolloutState, std::int64_t>> CountByState() = 0;
  // NOT_FOUND if the device is not in the rollout.
  virtual absl::StatusOr<RolloutDevice> GetDevice(const std::string& project, std::int64_t number,
                                                  const std::string& device) = 0;

  // Newest first, numbers below `before`.
  virtual absl::StatusOr<std::vector<Rollout>> List(const std::string& project, std::int64_t before,
                                                    int limit) = 0;
  // By name, names after `after`.
  virtual absl::StatusOr<std::vector<RolloutDevice>> ListDevices(const std::string& project,
                                                                 std::int64_t number,
                                                                 const std::string& after,
                                                                 int limit) = 0;
  // Oldest first, skipping the first `after` of the rollout.
  virtual absl::StatusOr<std::vector<RolloutEvent>> ListEvents(const std::string& project,
                                                               std::int64_t number,
                                                               std::int64_t after, int limit) = 0;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_STORE_H_
