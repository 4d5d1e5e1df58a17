// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_SETTINGS_STORE_H_
#define FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_SETTINGS_STORE_H_

#include "services/common/sql/database.h"
#include "services/ingestion/domain/settings_store.h"

namespace fieldloop::ingestion {

// Settings in SQL: the same statements for SQLite and PostgreSQL.
class SqlSettingsStore final : public SettingsStore {
 public:
  // `database` must outlive this object and have this service's schema.
  explicit SqlSettingsStore(Database& database) : database_(database) {}

  absl::StatusOr<Settings> Get(absl::string_view project) override;
  absl::StatusOr<Settings> Update(
      absl::string_view project,
      absl::FunctionRef<absl::Status(Settings& settings)> change) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_STORAGE_SQL_SETTINGS_STORE_H_
