// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_RETENTION_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_RETENTION_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/settings.h"

namespace fieldloop::ingestion {

// FAILED_PRECONDITION of a sample that a dataset version holds.
inline constexpr char kSampleHeld[] = "SAMPLE_HELD";

// A sample that a plan lets go, as it was when the plan was made.
struct DueSample {
  std::string id;
  std::int64_t size_bytes = 0;
  std::int64_t label_number = 0;

  friend bool operator==(const DueSample&, const DueSample&) = default;
};

struct RetentionPlan {
  std::vector<DueSample> due;
  std::int64_t held = 0;  // Samples that would be due but for a version that holds them.
};

struct DeletedSamples {
  std::int64_t samples = 0;
  std::int64_t bytes = 0;
};

// Deletes samples, and finds blobs that no sample needs any more. Owned by the domain, implemented
// in storage/, over the samples of a SampleStore.
//
// Blobs and rows are in two places, so a blob goes in steps that an upload of the same bytes can
// meet at any point (see docs/datasets.md):
//   1. What loses its last sample is noted, and waits for the time `grace`.
//   2. ClaimBlobs gives it out, unless a sample refers to it: from here on SampleStore::Insert
//      refuses a sample with these bytes as UNAVAILABLE, and before it took the note away.
//   3. The caller deletes the file, at once or not at all, and says so with BlobDeleted.
//   4. The note stays for kBlobNoteStays after the claim, longer than an upload may lie between
//      writing its blobs and its row, then goes: a row can never name a blob deleted under it.
//
// Thread-safe. Errors as in SampleStore. What an implementation must do is written down, and
// checked, in tests/services/ingestion/storage/retention_store_contract.h.
class RetentionStore {
 public:
  RetentionStore() = default;
  RetentionStore(const RetentionStore&) = delete;
  RetentionStore& operator=(const RetentionStore&) = delete;
  virtual ~RetentionStore() = default;

  // Deletes a sample with its labels and all that is known of it. NOT_FOUND; FAILED_PRECONDITION,
  // reason SAMPLE_HELD.
  virtual absl::Status DeleteSample(absl::string_view project, absl::string_view id,
                                    absl::Time now) = 0;

  // What `retention` lets go at `now`, oldest first, in one snapshot: never a sample that a dataset
  // version holds, nor one that a labeller has at this moment.
  virtual absl::StatusOr<RetentionPlan> Plan(absl::string_view project, const Retention& retention,
                                             absl::Time now) = 0;

  // Deletes samples of a plan in one step, without those that a version holds or that were labelled
  // meanwhile.
  virtual absl::StatusOr<DeletedSamples> Delete(absl::string_view project,
                                                const std::vector<DueSample>& due,
                                                absl::Time now) = 0;

  // Projects whose settings let something go.
  virtual absl::StatusOr<std::vector<std::string>> ProjectsWithRetention() = 0;

  // Notes those of `digests` that no sample refers to; for blobs that an upload left behind.
  virtual absl::Status NoteUnused(const std::vector<std::string>& digests, absl::Time now) = 0;
  // At most `limit` blobs to delete now. Those that were claimed longer ago than kBlobNoteStays and
  // were never said to be deleted are given out again.
  virtual absl::StatusOr<std::vector<std::string>> ClaimBlobs(absl::Duration grace, int limit,
                                                              absl::Time now) = 0;
  virtual absl::Status BlobDeleted(absl::string_view digest) = 0;
};

// An upload's blobs and its row are written within this time, or not at all.
inline constexpr absl::Duration kLongestStoring = absl::Minutes(5);
// A claimed blob is deleted within this time, or not at all by this claim.
inline constexpr absl::Duration kLongestDeleting = absl::Minutes(1);
inline constexpr absl::Duration kBlobNoteStays = absl::Minutes(10);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_RETENTION_STORE_H_
