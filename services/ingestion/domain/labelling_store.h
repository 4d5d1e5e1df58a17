// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_STORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/agreement.h"
#include "services/ingestion/domain/labelling.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

struct LeaseRequest {
  std::string project;
  SampleFilter filter;  // label_state is not read.
  std::string labeller;
  std::size_t count = 0;
  double random_share = 0;
  double second_opinion_share = 0;
  absl::Time now{};
  absl::Time expire_time{};
  std::uint64_t draw = 0;  // All chance in the answer comes from it.
};

// Samples of all projects that wait for a label.
struct Backlog {
  std::int64_t waiting = 0;
  absl::Time oldest = absl::InfiniteFuture();  // When the oldest of them was stored.
};

struct LeasedTasks {
  std::vector<LabellingTask> tasks;
  std::int64_t waiting = 0;  // Samples of the filter that wait for a label, leased ones included.
};

// Keeps the queue of samples that are worth a label: those without one, and those whose labels
// disagree. Owned by the domain, implemented in storage/, over the samples of a SampleStore, whose
// AddLabels ends the lease of a sample and says in the label how the labeller came by it.
//
// Thread-safe. Errors as in SampleStore. What an implementation must do is written down, and
// checked, in tests/services/ingestion/storage/labelling_store_contract.h.
class LabellingStore {
 public:
  LabellingStore() = default;
  LabellingStore(const LabellingStore&) = delete;
  LabellingStore& operator=(const LabellingStore&) = delete;
  virtual ~LabellingStore() = default;

  // Stores suggestions for samples of their projects; returns how many, which leaves out those of
  // unknown samples. One of the same model and sample replaces the older.
  virtual absl::StatusOr<int> PutSuggestions(const std::vector<Suggestion>& suggestions) = 0;

  // Gives tasks to a labeller in one step: first those that they hold, renewed, then new ones.
  // No sample is ever leased to two labellers at one time.
  virtual absl::StatusOr<LeasedTasks> Lease(const LeaseRequest& request) = 0;

  // Ends leases that `labeller` holds, all of them if `sample_ids` is empty; returns how many.
  virtual absl::StatusOr<int> Release(absl::string_view project, absl::string_view labeller,
                                      const std::vector<std::string>& sample_ids) = 0;

  // Adds a label that says what stood before the label with `number`, by `author`. NOT_FOUND;
  // FAILED_PRECONDITION, reason LABEL_SUPERSEDED, when that label does not stand.
  virtual absl::StatusOr<Label> Undo(absl::string_view project, absl::string_view sample_id,
                                     std::int64_t number, absl::string_view author,
                                     absl::Time now) = 0;

  // What people say of whole samples that `filter` selects, for samples of which two or more say
  // something; newest sample first.
  virtual absl::StatusOr<std::vector<Rating>> Ratings(absl::string_view project,
                                                      const SampleFilter& filter) = 0;

  virtual absl::StatusOr<Backlog> CountBacklog() = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_STORE_H_
