// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_LABELLING_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_LABELLING_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/sql/database.h"
#include "services/ingestion/domain/labelling_store.h"

namespace fieldloop::ingestion {

// LabellingStore over SQL; one set of statements for SQLite and PostgreSQL. Thread-safe.
class SqlLabellingStore final : public LabellingStore {
 public:
  // `database` must outlive this object.
  explicit SqlLabellingStore(Database& database) : database_(database) {}

  absl::StatusOr<int> PutSuggestions(const std::vector<Suggestion>& suggestions) override;
  absl::StatusOr<LeasedTasks> Lease(const LeaseRequest& request) override;
  absl::StatusOr<int> Release(absl::string_view project, absl::string_view labeller,
                              const std::vector<std::string>& sample_ids) override;
  absl::StatusOr<Label> Undo(absl::string_view project, absl::string_view sample_id,
                             std::int64_t number, absl::string_view author,
                             absl::Time now) override;
  absl::StatusOr<std::vector<Rating>> Ratings(absl::string_view project,
                                              const SampleFilter& filter) override;
  absl::StatusOr<Backlog> CountBacklog() override;

 private:
  Database& database_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_LABELLING_STORE_H_
