// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_RELEASE_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_RELEASE_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "services/build/domain/release_store.h"
#include "services/common/sql/database.h"

namespace fieldloop::build {

// Keeps releases in a database with the schema of storage/migrations.
class SqlReleaseStore final : public ReleaseStore {
 public:
  // `database` must outlive the store.
  explicit SqlReleaseStore(Database& database);

  absl::StatusOr<Release> Insert(
      absl::string_view project, absl::string_view request_id,
      absl::FunctionRef<absl::StatusOr<Release>(std::int64_t sequence)> make) override;
  absl::StatusOr<Release> Get(absl::string_view project, std::int64_t sequence) override;
  absl::StatusOr<std::vector<Release>> List(absl::string_view project, std::int64_t before,
                                            int limit) override;
  absl::StatusOr<Release> UpdateSignatures(
      absl::string_view project, std::int64_t sequence,
      absl::FunctionRef<absl::Status(std::vector<Signature>&)> change) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_RELEASE_STORE_H_
