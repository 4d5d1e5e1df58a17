// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_BUILD_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_BUILD_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "services/build/domain/build_store.h"
#include "services/common/sql/database.h"

namespace fieldloop::build {

// Keeps builds in a database with the schema of storage/migrations.
class SqlBuildStore final : public BuildStore {
 public:
  // `database` must outlive the store.
  explicit SqlBuildStore(Database& database);

  absl::StatusOr<Build> Insert(const Build& build, std::int64_t max_queued) override;
  absl::StatusOr<Build> GetByRequest(absl::string_view project,
                                     absl::string_view request_id) override;
  absl::StatusOr<Build> Get(absl::string_view project, std::int64_t number) override;
  absl::StatusOr<std::vector<Build>> List(absl::string_view project, std::int64_t before,
                                          int limit) override;
  absl::StatusOr<Build> Update(absl::string_view project, std::int64_t number,
                               absl::FunctionRef<absl::Status(Build&)> change) override;
  absl::StatusOr<std::optional<Build>> Claim(absl::Time now,
                                             absl::FunctionRef<void(Build&)> claim) override;
  absl::StatusOr<std::vector<Build>> ListHeld(absl::string_view owner) override;
  absl::StatusOr<QueueState> Queue() override;
  absl::StatusOr<std::vector<WaitingBuild>> Order(absl::Time now) override;
  absl::StatusOr<Model> FinishWithModel(absl::string_view project, std::int64_t number,
                                        const Model& model,
                                        absl::FunctionRef<absl::Status(Build&)> change) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_BUILD_STORE_H_
