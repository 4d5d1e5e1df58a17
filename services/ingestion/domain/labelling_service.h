// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_SERVICE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_SERVICE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/ingestion/domain/labelling_store.h"

namespace fieldloop::ingestion {

// What a labeller asks for; nothing stands for the default.
struct LabellingWish {
  std::string project;
  SampleFilter filter;
  std::string labeller;
  int count = 0;                                // 1 to 100; 0 is 10.
  absl::Duration lease = absl::ZeroDuration();  // 1 minute to 1 day; 0 is 15 minutes.
  std::optional<double> random_share;           // 0 to 1; unset is a half.
  double second_opinion_share = 0;              // 0 to 1.
};

// What people who label, and models that help them, can do, free of gRPC and SQL. Thread-safe.
class LabellingService {
 public:
  // Everything given must outlive this object. `draw` returns 64 random bits at each call and is
  // called from any thread.
  LabellingService(LabellingStore& store, const Clock& clock, std::function<std::uint64_t()> draw);

  // INVALID_ARGUMENT naming the suggestion and the field, and then nothing is stored.
  absl::StatusOr<int> CreateSuggestions(std::vector<Suggestion> suggestions);
  // INVALID_ARGUMENT naming the field.
  absl::StatusOr<LeasedTasks> Lease(const LabellingWish& wish);
  absl::StatusOr<int> Release(absl::string_view project, absl::string_view labeller,
                              const std::vector<std::string>& sample_ids);
  absl::StatusOr<Label> Undo(absl::string_view project, absl::string_view sample_id,
                             std::int64_t number, absl::string_view author);
  absl::StatusOr<Agreement> GetAgreement(absl::string_view project, const SampleFilter& filter);

 private:
  LabellingStore& store_;
  const Clock& clock_;
  const std::function<std::uint64_t()> draw_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_LABELLING_SERVICE_H_
