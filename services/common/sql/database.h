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
#include "absl/time/time.h"

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
  // "sqlite3://PATH", or a URI of PostgreSQL: "postgresql://USER@HOST/DATABASE?sslmode=...", see
  // https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING.
  std::string connection;
  int pool_size = 4;
  // The schema of PostgreSQL that holds the tables, made if it is not there, so that services can
  // share a database. Empty: the default of the connection. SQLite has none.
  std::string schema = {};
  absl::Duration connection_wait = absl::Seconds(10);    // For one of the pool to become free.
  absl::Duration statement_timeout = absl::Seconds(30);  // PostgreSQL's.
  absl::Duration check_timeout = absl::Seconds(5);       // For the answer to Check().
  // For tests: each Write runs once to be rolled back, as if it had lost against another one,
  // and then again.
  bool rehearse = false;
};

// A pool of connections to one database. One that breaks is made anew at its next use. SOCI's types
// appear only by name here: include <soci/soci.h> in storage .cc files. Thread-safe.
class Database {
 public:
  // Connects and applies the migrations that are missing, under a lock: replicas may start at once.
  // SQLite gets WAL, synchronous FULL, foreign keys and a busy timeout; PostgreSQL time-outs for
  // connecting, statements and idle transactions. UNAVAILABLE if the database cannot be reached;
  // FAILED_PRECONDITION if its schema is newer than `migrations`, or its encoding not UTF-8;
  // INVALID_ARGUMENT if `options.connection` is of neither kind.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const DatabaseOptions& options,
                                                        const std::vector<Migration>& migrations);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs `body` in a transaction that may write: commits when it returns OK, rolls back and returns
  // its error otherwise. Begun with the write lock on SQLite, serializable on PostgreSQL, where
  // a transaction that lost against another one begins again after a short wait: `body` may run
  // more than once, and must set what it returns anew each time. What SOCI throws becomes
  // UNAVAILABLE (connection, lock, time-out, lost too often), RESOURCE_EXHAUSTED (disk full),
  // ALREADY_EXISTS (unique constraint), INVALID_ARGUMENT (text is not UTF-8) or INTERNAL. After
  // UNAVAILABLE the transaction may have been committed: whoever repeats it must recognise it.
  absl::Status Write(absl::FunctionRef<absl::Status(soci::session&)> body);

  // The same for a transaction that only reads: one snapshot, and `body` runs once.
  absl::Status Read(absl::FunctionRef<absl::Status(soci::session&)> body);

  // Whether the database is there and can be written, however busy the pool is: UNAVAILABLE with
  // the reason if not. PostgreSQL is asked on a connection apart, which the first call makes; of
  // SQLite the file must be there. Connecting may take connect_timeout of the URI beside
  // `options.check_timeout`.
  absl::Status Check();

 private:
  class Pool;
  explicit Database(std::unique_ptr<Pool> pool);
  absl::Status Migrate(const std::vector<Migration>& migrations);
  absl::Status Transact(const char* begin, int attempts,
                        absl::FunctionRef<absl::Status(soci::session&)> body);
  absl::Status Begin(soci::session& session, const char* begin);
  static absl::Status RunAndEnd(soci::session& session, bool rehearsal,
                                absl::FunctionRef<absl::Status(soci::session&)> body);
  std::unique_ptr<Pool> pool_;
};

// Times are stored as Unix microseconds in a 64 bit integer: bind `long long`.

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_DATABASE_H_
