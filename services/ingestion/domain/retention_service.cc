// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/retention_service.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {
namespace {

// Samples deleted in one transaction: others wait for it.
constexpr std::size_t kBatch = 200;
constexpr int kBlobBatch = 100;
// How long a blob without a sample is kept.
constexpr absl::Duration kBlobGrace = absl::Hours(1);
// A blob without a sample is left behind, and not of an upload that runs, from this age on.
constexpr absl::Duration kLeftBehindAfter = absl::Hours(24);

absl::Status Stopped() { return absl::CancelledError("stopped"); }

}  // namespace

RetentionService::RetentionService(RetentionStore& store, SettingsStore& settings, BlobStore& blobs,
                                   const Clock& clock)
    : store_(store), settings_(settings), blobs_(blobs), clock_(clock) {}

absl::Status RetentionService::DeleteSample(absl::string_view project, absl::string_view id) {
  return store_.DeleteSample(project, id, clock_.Now());
}

absl::StatusOr<RetentionResult> RetentionService::Apply(absl::string_view project, bool dry_run) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Settings settings, settings_.Get(project));
  FIELDLOOP_ASSIGN_OR_RETURN(const RetentionPlan plan,
                             store_.Plan(project, settings.retention, clock_.Now()));
  RetentionResult result;
  result.held = plan.held;
  if (dry_run) {
    for (const DueSample& sample : plan.due) {
      ++result.samples;
      result.bytes += sample.size_bytes;
    }
    return result;
  }
  for (std::size_t begin = 0; begin < plan.due.size(); begin += kBatch) {
    const std::size_t end = std::min(begin + kBatch, plan.due.size());
    const std::vector<DueSample> batch(plan.due.begin() + static_cast<std::ptrdiff_t>(begin),
                                       plan.due.begin() + static_cast<std::ptrdiff_t>(end));
    FIELDLOOP_ASSIGN_OR_RETURN(const DeletedSamples deleted,
                               store_.Delete(project, batch, clock_.Now()));
    result.samples += deleted.samples;
    result.bytes += deleted.bytes;
  }
  return result;
}

absl::Status RetentionService::ApplyAll(const std::function<bool()>& go_on) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> projects,
                             store_.ProjectsWithRetention());
  for (const std::string& project : projects) {
    if (!go_on()) {
      return Stopped();
    }
    FIELDLOOP_RETURN_IF_ERROR(Apply(project, /*dry_run=*/false).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<int> RetentionService::CollectBlobs(const std::function<bool()>& go_on) {
  int collected = 0;
  for (;;) {
    const absl::Time claimed = clock_.Now();
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> digests,
                               store_.ClaimBlobs(kBlobGrace, kBlobBatch, claimed));
    for (const std::string& digest : digests) {
      // Too late: the note may go, and an upload may bring the bytes again. A later claim does it.
      if (!go_on() || clock_.Now() - claimed > kLongestDeleting) {
        return Stopped();
      }
      FIELDLOOP_RETURN_IF_ERROR(blobs_.Delete(digest));
      FIELDLOOP_RETURN_IF_ERROR(store_.BlobDeleted(digest));
      ++collected;
    }
    if (digests.size() < static_cast<std::size_t>(kBlobBatch)) {
      return collected;
    }
  }
}

absl::Status RetentionService::FindUnusedBlobs(const std::function<bool()>& go_on) {
  const absl::Time now = clock_.Now();
  std::vector<std::string> batch;
  FIELDLOOP_RETURN_IF_ERROR(blobs_.ForEach([&](absl::string_view digest, absl::Time stored) {
    if (now - stored < kLeftBehindAfter) {
      return absl::OkStatus();
    }
    batch.emplace_back(digest);
    if (batch.size() < kBatch) {
      return absl::OkStatus();
    }
    return go_on() ? store_.NoteUnused(std::exchange(batch, {}), now) : Stopped();
  }));
  return store_.NoteUnused(batch, now);
}

}  // namespace fieldloop::ingestion
