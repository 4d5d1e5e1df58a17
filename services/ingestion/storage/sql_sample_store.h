// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_SAMPLE_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_SAMPLE_STORE_H_

#include <optional>
#include <vector>

#include "services/common/sql/database.h"
#include "services/common/sync/group_commit.h"
#include "services/ingestion/domain/sample_store.h"

namespace fieldloop::ingestion {

// Keeps samples in a database whose schema is that of storage/migrations. Samples that come at the
// same time share a transaction, and so the sync of the disk that makes them last.
class SqlSampleStore final : public SampleStore {
 public:
  // `database` must outlive this object.
  explicit SqlSampleStore(Database& database);

  absl::StatusOr<StoredSample> Insert(const NewSample& fresh) override;
  absl::StatusOr<Sample> Get(absl::string_view project, absl::string_view id) override;
  absl::StatusOr<std::optional<Sample>> FindByUplink(absl::string_view project,
                                                     const Uplink& uplink) override;
  absl::StatusOr<SamplePage> List(absl::string_view project, const SampleFilter& filter,
                                  int page_size, absl::string_view page_token) override;
  absl::StatusOr<SampleCounts> Count(absl::string_view project,
                                     const SampleFilter& filter) override;
  absl::StatusOr<std::vector<absl::StatusOr<Label>>> AddLabels(
      const std::vector<Label>& labels) override;
  absl::StatusOr<LabelPage> ListLabels(absl::string_view project, absl::string_view sample_id,
                                       int page_size, absl::string_view page_token) override;

 private:
  struct PendingInsert {
    const NewSample& fresh;
    absl::StatusOr<StoredSample> stored;
  };

  void InsertAll(const std::vector<PendingInsert*>& inserts);

  Database& database_;
  GroupCommit<PendingInsert> inserts_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_SAMPLE_STORE_H_
