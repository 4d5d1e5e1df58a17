// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_DATASET_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_DATASET_STORE_H_

#include <cstdint>
#include <vector>

#include "services/common/sql/database.h"
#include "services/ingestion/domain/dataset_store.h"

namespace fieldloop::ingestion {

// Keeps datasets in the database of SqlSampleStore.
class SqlDatasetStore final : public DatasetStore {
 public:
  // `database` must outlive this object.
  explicit SqlDatasetStore(Database& database) : database_(database) {}

  absl::Status Insert(const Dataset& dataset) override;
  absl::StatusOr<Dataset> Get(absl::string_view project, absl::string_view id) override;
  absl::StatusOr<DatasetPage> List(absl::string_view project, int page_size,
                                   absl::string_view page_token) override;
  absl::StatusOr<DatasetVersion> CreateVersion(absl::string_view project,
                                               absl::string_view dataset_id,
                                               absl::Time create_time) override;
  absl::StatusOr<DatasetVersion> GetVersion(absl::string_view project, absl::string_view dataset_id,
                                            std::int64_t number) override;
  absl::StatusOr<DatasetVersionPage> ListVersions(absl::string_view project,
                                                  absl::string_view dataset_id, int page_size,
                                                  absl::string_view page_token) override;
  absl::StatusOr<std::vector<Sample>> VersionSamples(absl::string_view project,
                                                     absl::string_view dataset_id,
                                                     std::int64_t number,
                                                     absl::string_view after_digest,
                                                     int limit) override;
  absl::StatusOr<VersionChangePage> ListChanges(absl::string_view project, const VersionKey& first,
                                                const VersionKey& second, int page_size,
                                                absl::string_view page_token) override;
  absl::StatusOr<VersionKeyPage> VersionsOfSample(absl::string_view project,
                                                  absl::string_view sample_id, int page_size,
                                                  absl::string_view page_token) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_DATASET_STORE_H_
