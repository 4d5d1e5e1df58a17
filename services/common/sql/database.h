// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace soci {
class session;
}  // namespace soci

namespace fieldloop {

// One numbered file of a service's schema, embedded by fieldloop_add_migrations() in CMake.
struct Migration {
  int number = 0;  // Counts up from 1 without a gap.
  const char* name = "";
  const char* sql = "";  // Statements separated by ";\n".
};

struct DatabaseOptions {
  std::string connection;  // SOCI connection string: "sqlite3://path" or "postgresql://...".
  int pool_size = 4;
};

// A pool of connections to one database. SOCI's types appear only by name here: include
// <soci/soci.h> in storage .cc files. Thread-safe.
class Database {
 public:
  // Connects and applies the migrations that are missing, under a lock. SQLite gets WAL,
  // synchronous FULL, foreign keys and a busy timeout. UNAVAILABLE if the database cannot be
  // reached; FAILED_PRECONDITION if its schema is newer than `migrations`.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const DatabaseOptions& options,
                                                        const std::vector<Migration>& migrations);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs `body` in a transaction that may write: commits when it returns OK, rolls back and returns
  // its error otherwise. Begun with the write lock on SQLite, serializable on PostgreSQL, where
  // `body` may run more than once. What SOCI throws becomes UNAVAILABLE (connection, lock),
  // RESOURCE_EXHAUSTED (disk full), ALREADY_EXISTS (unique constraint) or INTERNAL.
  absl::Status Write(absl::FunctionRef<absl::Status(soci::session&)> body);

  // The same for a transaction that only reads: one snapshot.
  absl::Status Read(absl::FunctionRef<absl::Status(soci::session&)> body);

 private:
  struct State;
  explicit Database(std::unique_ptr<State> state);
  absl::Status Transact(bool write, absl::FunctionRef<absl::Status(soci::session&)> body);
  std::unique_ptr<State> state_;
};

// Times are stored as Unix microseconds in a 64 bit integer: bind `long long`.

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_H_
