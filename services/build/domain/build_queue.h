// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_QUEUE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_QUEUE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/build.h"
#include "services/build/domain/build_observer.h"
#include "services/build/domain/build_store.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/impulse_store.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/page.h"
#include "services/build/domain/running_builds.h"
#include "services/build/domain/trainer.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"

namespace fieldloop::build {

// What a caller asks for.
struct BuildRequest {
  std::string dataset_version;
  std::string impulse;
  std::uint32_t seed = 0;    // 0: 1.
  std::string parent_model;  // Empty: none.
  std::string trainer;       // Empty: the built-in one.
};

// What people can do with builds. Arguments are as they came from the caller. Thread-safe.
class BuildQueue {
 public:
  // All must outlive this object.
  struct Parts {
    BuildStore& builds;
    ImpulseStore& impulses;
    ModelStore& models;
    DatasetSource& datasets;
    BlobStore& blobs;
    const TrainerSet& trainers;
    RunningBuilds& running;
    ChangeSignal& changes;
    BuildObserver& observer;
    const Clock& clock;
  };
  // At most `max_queued` builds of a project wait at a time.
  BuildQueue(const Parts& parts, std::int64_t max_queued);

  // Queues a build. INVALID_ARGUMENT; NOT_FOUND if the dataset version, the impulse or the parent
  // does not exist; RESOURCE_EXHAUSTED, reason QUEUE_FULL.
  absl::StatusOr<Build> Create(absl::string_view parent, const BuildRequest& request,
                               absl::string_view request_id);
  absl::StatusOr<Build> Get(absl::string_view name);
  // Without histories and candidates.
  absl::StatusOr<Page<Build>> List(absl::string_view parent, int page_size,
                                   absl::string_view page_token);
  // FAILED_PRECONDITION, reason BUILD_DONE.
  absl::StatusOr<Build> Cancel(absl::string_view name);
  // At most the last 1 MiB of what the trainer printed.
  absl::StatusOr<std::string> Log(absl::string_view name);

 private:
  absl::StatusOr<Build> WithQueuePosition(Build build);

  const Parts parts_;
  const std::int64_t max_queued_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_QUEUE_H_
