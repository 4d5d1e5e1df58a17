// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/database.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <thread>
#include <unistd.h>
#include <utility>

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <spdlog/spdlog.h>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/sql/database_backup.h"
#include "services/common/sql/pool_counts.h"
#include "services/common/sql/postgres_probe.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

// Of a transaction that lost against another one. The waits between double from the first to the
// longest, each with full jitter: a second or two altogether.
constexpr int kMaxAttempts = 20;
constexpr absl::Duration kFirstWait = absl::Milliseconds(2);
constexpr absl::Duration kLongestWait = absl::Milliseconds(150);

// What a session of PostgreSQL begins with. A service that hangs in a transaction must not hold
// locks for ever, and an acknowledgement follows the commit whatever the server's default is.
constexpr const char* kPostgresSettings[] = {
    "SET client_min_messages = warning",
    "SET idle_in_transaction_session_timeout = '60s'",
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'",
};
// Parameters that a URI gets unless it sets them: a server that is gone is noticed in seconds.
constexpr const char* kPostgresParameters[][2] = {
    {"connect_timeout", "5"},
    {"tcp_user_timeout", "15000"},
};

constexpr char kMakeLeaseTable[] =
    "CREATE TABLE IF NOT EXISTS fieldloop_leases ("
    "name TEXT PRIMARY KEY, owner TEXT NOT NULL, expire_micros BIGINT NOT NULL)";
constexpr char kMakeMigrationTable[] =
    "CREATE TABLE IF NOT EXISTS fieldloop_migrations (number INTEGER PRIMARY KEY, name TEXT NOT "
    "NULL)";
// Whoever migrates a database holds it; a number that only has to be everywhere the same.
constexpr char kMigrationLock[] = "SELECT pg_advisory_xact_lock(4607182418800017408)";

constexpr char kDiskFull[] = "the disk of the database is full; free some space";

// https://www.postgresql.org/docs/15/errcodes-appendix.html
absl::Status FromPostgres(absl::string_view sqlstate, absl::string_view text) {
  if (sqlstate == "40001" || sqlstate == "40P01") {  // serialization_failure, deadlock_detected
    return absl::AbortedError(text);
  }
  if (sqlstate == "23505") {  // unique_violation
    return absl::AlreadyExistsError("exists already");
  }
  if (sqlstate == "53100") {  // disk_full
    return absl::ResourceExhaustedError(kDiskFull);
  }
  if (sqlstate == "22021") {  // character_not_in_repertoire
    return absl::InvalidArgumentError("a text is not UTF-8");
  }
  // No state: the connection broke. Classes: 08 connection exception, 53 insufficient resources,
  // 57 operator intervention (also the statement time-out). 25006: a primary that became a standby;
  // 25P03: the transaction was idle for too long; 55P03: no lock in time.
  if (sqlstate.empty() || absl::StartsWith(sqlstate, "08") || absl::StartsWith(sqlstate, "53") ||
      absl::StartsWith(sqlstate, "57") || sqlstate == "25006" || sqlstate == "25P03" ||
      sqlstate == "55P03") {
    return absl::UnavailableError(absl::StrCat("database: ", text));
  }
  return absl::InternalError(absl::StrCat("database: ", sqlstate, ": ", text));
}

// SOCI 4.0 gives no codes for SQLite: the only place that reads what it says in words.
absl::Status FromSqlite(absl::string_view text) {
  if (absl::StrContains(text, "disk is full") || absl::StrContains(text, "No space left")) {
    return absl::ResourceExhaustedError(kDiskFull);
  }
  if (absl::StrContains(text, "UNIQUE constraint")) {
    return absl::AlreadyExistsError("exists already");
  }
  if (absl::StrContains(text, "database is locked") || absl::StrContains(text, "onnect") ||
      absl::StrContains(text, "unable to open") || absl::StrContains(text, "readonly database") ||
      absl::StrContains(text, "disk I/O error")) {
    return absl::UnavailableError(absl::StrCat("database: ", text));
  }
  return absl::InternalError(absl::StrCat("database: ", text));
}

// What libpq says comes in several lines, and ends up in one of the log.
std::string OneLine(absl::string_view text) {
  return absl::StrJoin(absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipWhitespace()), " ");
}

absl::Status FromError(const std::exception& error) {
  const auto* postgres = dynamic_cast<const soci::postgresql_soci_error*>(&error);
  if (postgres == nullptr) {
    return FromSqlite(error.what());
  }
  // Without a state, SOCI keeps blanks.
  const std::string state = postgres->sqlstate();
  return FromPostgres(absl::StripAsciiWhitespace(state), OneLine(postgres->what()));
}

// The server's notices would go to standard error, between the lines of the log.
void LogNotice(void* /*unused*/, const char* message) {
  spdlog::warn("database: {}", OneLine(message));
}

std::string WithParameters(const std::string& uri) {
  std::string full = uri;
  for (const auto& [name, value] : kPostgresParameters) {
    if (!absl::StrContains(uri, absl::StrCat(name, "="))) {
      absl::StrAppend(&full, absl::StrContains(full, "?") ? "&" : "?", name, "=", value);
    }
  }
  return full;
}

// SOCI would take a colon or a quote in a comment for a parameter or a text.
std::string WithoutComments(absl::string_view sql) {
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(sql, '\n')) {
    if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "--")) {
      absl::StrAppend(&kept, line, "\n");
    }
  }
  return kept;
}

// What the migrations of a PostgreSQL database need, under the lock.
absl::Status PrepareSchema(soci::session& session, const std::string& schema) {
  session << "SET LOCAL statement_timeout = 0";
  session << kMigrationLock;
  std::string encoding;
  session << "SHOW server_encoding", soci::into(encoding);
  if (encoding != "UTF8") {
    return absl::FailedPreconditionError(
        absl::StrCat("the database has encoding ", encoding, ", want UTF8"));
  }
  if (schema.empty()) {
    return absl::OkStatus();
  }
  int there = 0;
  session << "SELECT COUNT(*) FROM pg_namespace WHERE nspname = :schema", soci::use(schema),
      soci::into(there);
  if (there == 0) {  // IF NOT EXISTS would want the right to make one even then.
    session << "CREATE SCHEMA " << schema;
  }
  return absl::OkStatus();
}

// Migrations count from 1. The functions of database_backup.h put one of these before them: the
// mark of a restore, a row of fieldloop_migrations, and what stands for none.
constexpr Migration kRestoring = {.number = 0, .name = "restoring"};
constexpr Migration kAsItIs = {.number = -1};

bool BeginsWith(const std::vector<Migration>& migrations, const Migration& first) {
  return !migrations.empty() && migrations.front().number == first.number;
}

absl::Status ApplyMigrations(soci::session& session, const std::vector<Migration>& migrations) {
  const bool restoring = BeginsWith(migrations, kRestoring);
  const int known = migrations.empty() ? 0 : migrations.back().number;
  session << kMakeMigrationTable;
  session << kMakeLeaseTable;
  const bool marked = IsBeingRestored(session);
  if (marked && !restoring) {
    return absl::FailedPreconditionError(
        "a restore into the database did not end: empty it, and restore again");
  }
  const int applied = SchemaNumber(session);
  if (applied > known) {
    return absl::FailedPreconditionError(
        absl::StrCat("the database has schema ", applied, ", this program knows ", known,
                     ": run the newer program, or restore a backup"));
  }
  for (const Migration& migration : migrations) {
    const bool is_mark = migration.number == kRestoring.number;
    if (is_mark ? marked || applied > 0 : migration.number <= applied) {
      continue;
    }
    RunStatements(session, migration.sql);
    const std::string name = migration.name;
    session << "INSERT INTO fieldloop_migrations (number, name) VALUES (:number, :name)",
        soci::use(migration.number), soci::use(name);
    spdlog::info("applied schema {} {}", migration.number, migration.name);
  }
  return absl::OkStatus();
}

// A wait before attempt `attempt`, the first being 0.
void WaitForTurn(int attempt) {
  thread_local absl::BitGen random;
  const absl::Duration most = std::min(kLongestWait, kFirstWait * (1 << std::min(attempt, 16)));
  std::this_thread::sleep_for(std::chrono::microseconds(
      absl::Uniform<std::int64_t>(random, 0, most / absl::Microseconds(1))));
}

}  // namespace

DatabasePoolCounts& PoolCounts() {
  static DatabasePoolCounts counts;
  return counts;
}

void RunStatements(soci::session& session, absl::string_view sql) {
  const std::string kept = WithoutComments(sql);
  for (const absl::string_view statement : absl::StrSplit(kept, ";\n", absl::SkipWhitespace())) {
    session << std::string(absl::StripSuffix(absl::StripAsciiWhitespace(statement), ";"));
  }
}

bool HasSchema(soci::session& session) {
  const std::string table = kMigrationTable;
  int tables = 0;
  session << (session.get_backend_name() == "postgresql"
                  ? "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                    "current_schema() AND table_name = :name"
                  : "SELECT COUNT(*) FROM sqlite_master WHERE name = :name"),
      soci::use(table), soci::into(tables);
  return tables > 0;
}

bool IsBeingRestored(soci::session& session) {
  int marks = 0;
  session << "SELECT COUNT(*) FROM fieldloop_migrations WHERE number = :mark",
      soci::use(kRestoring.number), soci::into(marks);
  return marks > 0;
}

int SchemaNumber(soci::session& session) {
  int number = 0;
  session << "SELECT COALESCE(MAX(number), 0) FROM fieldloop_migrations", soci::into(number);
  return number;
}

void EndRestore(soci::session& session) {
  session << "DELETE FROM fieldloop_migrations WHERE number = :mark", soci::use(kRestoring.number);
}

// The connections. Those that broke are made anew when their turn comes.
class Database::Pool {
 public:
  explicit Pool(DatabaseOptions options)
      : options_(std::move(options)),
        sqlite_(!IsPostgres(options_.connection)),
        probe_(sqlite_ ? "" : WithParameters(options_.connection), options_.check_timeout),
        sessions_(static_cast<std::size_t>(std::max(1, options_.pool_size))) {
    PoolCounts().connections += std::max(1, options_.pool_size);
  }
  ~Pool() { PoolCounts().connections -= std::max(1, options_.pool_size); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  static bool IsPostgres(absl::string_view connection) {
    return absl::StartsWith(connection, "postgresql://") ||
           absl::StartsWith(connection, "postgres://");
  }

  // Throws what SOCI throws.
  void ConnectAll() {
    for (int i = 0; i < std::max(1, options_.pool_size); ++i) {
      Connect(sessions_.at(static_cast<std::size_t>(i)));
    }
  }

  void Connect(soci::session& session) {
    session.close();
    if (sqlite_) {
      session.open(soci::sqlite3, SqlitePath());
      session << "PRAGMA busy_timeout = 10000";
      session << "PRAGMA journal_mode = WAL";
      session << "PRAGMA synchronous = FULL";
      // 32 MB: pages that change often are written into the database once for many commits.
      session << "PRAGMA wal_autocheckpoint = 8000";
      session << "PRAGMA foreign_keys = ON";
      return;
    }
    session.open(soci::postgresql, WithParameters(options_.connection));
    PQsetNoticeProcessor(
        static_cast<soci::postgresql_session_backend*>(session.get_backend())->conn_, LogNotice,
        nullptr);
    for (const char* setting : kPostgresSettings) {
      session << setting;
    }
    session << "SET statement_timeout = " << absl::ToInt64Milliseconds(options_.statement_timeout);
    if (!options_.schema.empty()) {
      session << "SET search_path = " << options_.schema;
    }
  }

  // As far as is known here: SOCI would ask PostgreSQL, which is a round trip for each transaction.
  bool IsOpen(soci::session& session) const {
    if (sqlite_ || session.get_backend() == nullptr) {
      return session.is_connected();
    }
    return PQstatus(static_cast<soci::postgresql_session_backend*>(session.get_backend())->conn_) ==
           CONNECTION_OK;
  }

  // One connection, given back at the end.
  class Lease {
   public:
    Lease(soci::connection_pool& pool, absl::Duration patience) : pool_(pool) {
      DatabasePoolCounts& counts = PoolCounts();
      const auto start = std::chrono::steady_clock::now();
      ++counts.waiting;
      held_ = pool.try_lease(position_, static_cast<int>(absl::ToInt64Milliseconds(patience)));
      --counts.waiting;
      counts.wait_micros +=
          absl::ToInt64Microseconds(absl::FromChrono(std::chrono::steady_clock::now() - start));
      ++counts.transactions;
      ++(held_ ? counts.in_use : counts.timeouts);
    }
    ~Lease() {
      if (held_) {
        --PoolCounts().in_use;
        pool_.give_back(position_);
      }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    bool held() const { return held_; }
    soci::session& session() { return pool_.at(position_); }

   private:
    soci::connection_pool& pool_;
    std::size_t position_ = 0;
    bool held_ = false;
  };

  soci::connection_pool& sessions() { return sessions_; }
  PostgresProbe& probe() { return probe_; }
  bool sqlite() const { return sqlite_; }
  std::string SqlitePath() const {
    return std::string(absl::StripPrefix(options_.connection, "sqlite3://"));
  }
  const DatabaseOptions& options() const { return options_; }

 private:
  const DatabaseOptions options_;
  const bool sqlite_;
  PostgresProbe probe_;
  soci::connection_pool sessions_;
};

Database::Database(std::unique_ptr<Pool> pool) : pool_(std::move(pool)) {}
Database::~Database() = default;

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const DatabaseOptions& options,
                                                         const std::vector<Migration>& migrations) {
  if (!Pool::IsPostgres(options.connection) &&
      !absl::StartsWith(options.connection, "sqlite3://")) {
    return absl::InvalidArgumentError(
        "database: want sqlite3://PATH or postgresql://USER@HOST/DATABASE");
  }
  std::unique_ptr<Database> database(new Database(std::make_unique<Pool>(options)));
  try {
    database->pool_->ConnectAll();
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot open the database: ", OneLine(error.what())));
  }
  if (!BeginsWith(migrations, kAsItIs)) {
    FIELDLOOP_RETURN_IF_ERROR(database->Migrate(migrations));
  }
  return database;
}

absl::StatusOr<std::unique_ptr<Database>> OpenDatabaseAsItIs(const DatabaseOptions& options) {
  absl::string_view path = options.connection;
  if (absl::ConsumePrefix(&path, "sqlite3://") &&
      ::access(std::string(path).c_str(), F_OK) != 0) {  // Opening would make it.
    return absl::NotFoundError(absl::StrCat("there is no database ", path));
  }
  return Database::Open(options, {kAsItIs});
}

absl::StatusOr<std::unique_ptr<Database>> OpenDatabaseToRestore(
    const DatabaseOptions& options, const std::vector<Migration>& migrations) {
  std::vector<Migration> marked = {kRestoring};
  marked.insert(marked.end(), migrations.begin(), migrations.end());
  return Database::Open(options, marked);
}

// Not serializable on PostgreSQL: such a transaction would go on seeing the schema as it was before
// it waited for the lock.
absl::Status Database::Migrate(const std::vector<Migration>& migrations) {
  const bool sqlite = pool_->sqlite();
  const std::string& schema = pool_->options().schema;
  return Transact(sqlite ? "BEGIN IMMEDIATE" : "BEGIN ISOLATION LEVEL READ COMMITTED", 1,
                  [&](soci::session& session) -> absl::Status {
                    if (!sqlite) {
                      FIELDLOOP_RETURN_IF_ERROR(PrepareSchema(session, schema));
                    }
                    return ApplyMigrations(session, migrations);
                  });
}

absl::Status Database::Write(absl::FunctionRef<absl::Status(soci::session&)> body) {
  // Taking the write lock first makes a busy SQLite wait instead of failing in the middle.
  return Transact(pool_->sqlite() ? "BEGIN IMMEDIATE" : "BEGIN ISOLATION LEVEL SERIALIZABLE",
                  kMaxAttempts, body);
}

absl::Status Database::Read(absl::FunctionRef<absl::Status(soci::session&)> body) {
  return Transact(pool_->sqlite() ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                  /*attempts=*/1, body);
}

absl::Status Database::Check() {
  if (!pool_->sqlite()) {
    const absl::Status status = pool_->probe().Check();
    return status.ok()
               ? status
               : absl::UnavailableError(absl::StrCat("database: ", OneLine(status.message())));
  }
  const std::string path = pool_->SqlitePath();
  return ::access(path.c_str(), R_OK | W_OK) == 0
             ? absl::OkStatus()
             : absl::UnavailableError(absl::StrCat("database: ", path, ": ", std::strerror(errno)));
}

absl::Status Database::Transact(const char* begin, int attempts,
                                absl::FunctionRef<absl::Status(soci::session&)> body) {
  Pool::Lease lease(pool_->sessions(), pool_->options().connection_wait);
  if (!lease.held()) {
    return absl::UnavailableError(
        absl::StrCat("database: all ", pool_->options().pool_size, " connections were busy for ",
                     absl::FormatDuration(pool_->options().connection_wait)));
  }
  soci::session& session = lease.session();
  absl::Status status;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    if (attempt > 0) {
      WaitForTurn(attempt);
    }
    if (status = Begin(session, begin); !status.ok()) {
      return status;
    }
    const bool rehearsal = pool_->options().rehearse && attempt == 0 && attempts > 1;
    status = RunAndEnd(session, rehearsal, body);
    // A row that another transaction made since this one looked is seen by the next attempt.
    const bool overtaken = absl::IsAborted(status) ||
                           (!pool_->sqlite() && attempt == 0 && absl::IsAlreadyExists(status));
    if (!(rehearsal && status.ok()) && !overtaken) {
      return status;
    }
  }
  return absl::IsAborted(status)
             ? absl::UnavailableError(absl::StrCat("database: ", status.message()))
             : status;
}

// A connection that broke since its last use, or breaks now, is made anew: nothing was done yet.
absl::Status Database::Begin(soci::session& session, const char* begin) {
  for (const bool again : {true, false}) {
    try {
      if (!pool_->IsOpen(session)) {
        pool_->Connect(session);
      }
      session << begin;
      return absl::OkStatus();
    } catch (const std::exception& error) {
      if (!again || session.is_connected()) {
        return absl::UnavailableError(absl::StrCat("database: ", OneLine(error.what())));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Database::RunAndEnd(soci::session& session, bool rehearsal,
                                 absl::FunctionRef<absl::Status(soci::session&)> body) {
  absl::Status status;
  try {
    status = body(session);
    session << (status.ok() && !rehearsal ? "COMMIT" : "ROLLBACK");
    return status;
  } catch (const std::exception& error) {
    status = FromError(error);
  }
  if (!session.is_connected()) {
    return absl::UnavailableError(
        absl::StrCat("database: the connection was lost: ", status.message()));
  }
  try {
    session << "ROLLBACK";
    if (session.get_backend_name() == "postgresql") {
      session << "DEALLOCATE ALL";  // SOCI could not, in a transaction that failed.
    }
  } catch (const std::exception& error) {
    spdlog::warn("rollback: {}", error.what());
  }
  return status;
}

}  // namespace fieldloop
