// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_IMPULSE_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_IMPULSE_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "services/build/domain/impulse_store.h"
#include "services/common/sql/database.h"

namespace fieldloop::build {

// Keeps impulses in a database with the schema of storage/migrations.
class SqlImpulseStore final : public ImpulseStore {
 public:
  // `database` must outlive the store.
  explicit SqlImpulseStore(Database& database);

  absl::StatusOr<Impulse> Put(const Impulse& impulse) override;
  absl::StatusOr<Impulse> Get(absl::string_view project, absl::string_view id,
                              std::int64_t version) override;
  absl::StatusOr<std::vector<Impulse>> List(absl::string_view project, absl::string_view after_id,
                                            int limit) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_IMPULSE_STORE_H_
