// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_BACKUP_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_BACKUP_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/sql/database.h"

namespace fieldloop {

// What backups and restores need of a Database beside its transactions.

// Connects to a database as it is, for what must not change it. NOT_FOUND if there is no SQLite
// file; else as Database::Open().
absl::StatusOr<std::unique_ptr<Database>> OpenDatabaseAsItIs(const DatabaseOptions& options);

// As Database::Open(), and marks a new database as one that a restore fills: from then on
// Database::Open() refuses it, and this function opens it, until EndRestore().
absl::StatusOr<std::unique_ptr<Database>> OpenDatabaseToRestore(
    const DatabaseOptions& options, const std::vector<Migration>& migrations);

// The rest throws what SOCI throws.

// Runs statements that are separated by ";\n", without lines that are comments.
void RunStatements(soci::session& session, absl::string_view sql);

// The bookkeeping in every schema.
inline constexpr char kMigrationTable[] = "fieldloop_migrations";
inline constexpr char kLeaseTable[] = "fieldloop_leases";
// Whether Database::Open() was ever here.
bool HasSchema(soci::session& session);
// The number of the last migration.
int SchemaNumber(soci::session& session);
// The mark of OpenDatabaseToRestore().
bool IsBeingRestored(soci::session& session);
void EndRestore(soci::session& session);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_BACKUP_H_
