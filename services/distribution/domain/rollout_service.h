// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_SERVICE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_SERVICE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/common/sync/mutex.h"
#include "services/distribution/domain/backends.h"
#include "services/distribution/domain/catalogs.h"
#include "services/distribution/domain/fleet_service.h"
#include "services/distribution/domain/rollout.h"
#include "services/distribution/domain/rollout_store.h"

namespace fieldloop::distribution {

// What a device may install now.
struct RolloutOffer {
  std::int64_t number = 0;  // Of the rollout.
  std::string traceparent;  // Of the call that started it; may be empty.
  std::string manifest;     // Serialised SignedDocument.
  std::vector<std::string> artifact_digests;
};

template <typename Row>
struct Page {
  std::vector<Row> rows;
  std::string next_page_token;  // Empty on the last page, and only there.
};

// Rollouts, free of gRPC, SQL and the device protocol. Thread-safe.
class RolloutService {
 public:
  // All of them must outlive this object.
  RolloutService(RolloutStore& store, ReleaseRegistry& registry, DeviceIdentity& identity,
                 ArtifactCache& artifacts, RootCatalog& roots, FleetService& fleet,
                 const Clock& clock);

  // Starts a rollout of `wanted.release` to `wanted.target` by `wanted.plan`. See
  // DistributionService.CreateRollout for the errors.
  absl::StatusOr<Rollout> Create(const std::string& project, Rollout wanted,
                                 const std::string& request_id, const std::string& author);
  absl::StatusOr<Rollout> Get(absl::string_view name);
  absl::StatusOr<Page<Rollout>> List(const std::string& project, int page_size,
                                     absl::string_view page_token);
  absl::StatusOr<Page<RolloutDevice>> ListDevices(absl::string_view name, int page_size,
                                                  absl::string_view page_token);
  absl::StatusOr<Page<RolloutEvent>> ListEvents(absl::string_view name, int page_size,
                                                absl::string_view page_token);
  absl::StatusOr<Rollout> Pause(absl::string_view name, const std::string& reason,
                                const std::string& author);
  absl::StatusOr<Rollout> Resume(absl::string_view name, const std::string& author);
  absl::StatusOr<Rollout> Cancel(absl::string_view name, const std::string& reason,
                                 const std::string& author);

  // What to offer to `device`, which runs `components`. When it is something new the offer is
  // committed before this returns. `offered` is the number of the rollout that this session has
  // offered already, or 0.
  absl::StatusOr<std::optional<RolloutOffer>> CheckIn(const std::string& device,
                                                      const std::vector<ComponentState>& components,
                                                      std::int64_t offered);
  // The offer that a device works on: for a download that goes on in a new session.
  absl::StatusOr<std::optional<RolloutOffer>> CurrentOffer(const std::string& device);
  // Takes in a report of the rollout that the device names. OK also when there is none such: the
  // report has been dealt with.
  absl::Status Report(const std::string& device, absl::string_view rollout_id,
                      const UpdateReport& report);
  // Takes in what a device runs.
  absl::Status Running(const std::string& device, const std::vector<ComponentState>& components);

  // Does what time alone brings about: time-outs, soaking, expiry. Safe to do twice.
  absl::Status Tick();
  absl::StatusOr<std::map<RolloutState, std::int64_t>> CountByState();
  // All that are running or paused.
  absl::StatusOr<std::vector<Rollout>> ListActive();

  // Changes made in this process; see ChangeSignal.
  const ChangeSignal& changes() const { return changes_; }

  // Asks for the root documents that the keys of an active rollout may need, once for each rollout
  // and every half minute beside; call it every second. Another replica may have begun the rollout
  // and know newer documents: until this one has asked too it offers nothing, as a device might
  // refuse an offer for a key that it has not heard of.
  absl::Status LearnRoots();

 private:
  bool HasRootsFor(const Rollout& rollout) const;
  absl::StatusOr<Rollout> Change(const std::string& project, std::int64_t number,
                                 absl::FunctionRef<absl::Status(RolloutEdit&)> body);

  RolloutStore& store_;
  ReleaseRegistry& registry_;
  DeviceIdentity& identity_;
  ArtifactCache& artifacts_;
  RootCatalog& roots_;
  FleetService& fleet_;
  const Clock& clock_;
  ChangeSignal changes_;
  mutable Mutex roots_mutex_;
  // Rollouts that began before the root documents were asked for, by project and number.
  std::set<std::pair<std::string, std::int64_t>> with_roots_ ABSL_GUARDED_BY(roots_mutex_);
  absl::Time roots_time_ ABSL_GUARDED_BY(roots_mutex_) = absl::InfinitePast();
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_SERVICE_H_
