// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_RETENTION_SERVICE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_RETENTION_SERVICE_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/ingestion/domain/retention_store.h"
#include "services/ingestion/domain/settings_store.h"

namespace fieldloop::ingestion {

struct RetentionResult {
  std::int64_t samples = 0;  // Deleted, or that would be.
  std::int64_t bytes = 0;    // Of their payloads.
  std::int64_t held = 0;     // Due but held by a dataset version.
};

// Lets recordings go: by hand, by the retention of a project's settings, and the blobs that nothing
// needs any more. Thread-safe.
class RetentionService {
 public:
  // Everything given must outlive this object.
  RetentionService(RetentionStore& store, SettingsStore& settings, BlobStore& blobs,
                   const Clock& clock);

  absl::Status DeleteSample(absl::string_view project, absl::string_view id);
  // Deletes what the project's settings let go, or only counts it.
  absl::StatusOr<RetentionResult> Apply(absl::string_view project, bool dry_run);

  // For the background, safe to do twice at once. `go_on` is asked between steps; false ends it.
  absl::Status ApplyAll(const std::function<bool()>& go_on);
  // Deletes blobs without a sample; returns how many.
  absl::StatusOr<int> CollectBlobs(const std::function<bool()>& go_on);
  // Looks through all blobs for those that a broken upload left; CollectBlobs will take them.
  absl::Status FindUnusedBlobs(const std::function<bool()>& go_on);

 private:
  RetentionStore& store_;
  SettingsStore& settings_;
  BlobStore& blobs_;
  const Clock& clock_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_RETENTION_SERVICE_H_
