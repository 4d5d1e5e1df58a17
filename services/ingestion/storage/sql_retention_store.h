// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_RETENTION_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_RETENTION_STORE_H_

#include <string>
#include <vector>

#include "services/common/sql/database.h"
#include "services/ingestion/domain/retention_store.h"

namespace fieldloop::ingestion {

// RetentionStore over SQL; one set of statements for SQLite and PostgreSQL. Thread-safe.
class SqlRetentionStore final : public RetentionStore {
 public:
  // `database` must outlive this object.
  explicit SqlRetentionStore(Database& database) : database_(database) {}

  absl::Status DeleteSample(absl::string_view project, absl::string_view id,
                            absl::Time now) override;
  absl::StatusOr<RetentionPlan> Plan(absl::string_view project, const Retention& retention,
                                     absl::Time now) override;
  absl::StatusOr<DeletedSamples> Delete(absl::string_view project,
                                        const std::vector<DueSample>& due, absl::Time now) override;
  absl::StatusOr<std::vector<std::string>> ProjectsWithRetention() override;
  absl::Status NoteUnused(const std::vector<std::string>& digests, absl::Time now) override;
  absl::StatusOr<std::vector<std::string>> ClaimBlobs(absl::Duration grace, int limit,
                                                      absl::Time now) override;
  absl::Status BlobDeleted(absl::string_view digest) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_RETENTION_STORE_H_
