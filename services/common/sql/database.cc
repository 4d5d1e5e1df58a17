// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/database.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <soci/soci.h>
#include <spdlog/spdlog.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr int kMaxAttempts = 5;  // Of a transaction that lost against another one.

constexpr char kLeaseTable[] =
    "CREATE TABLE IF NOT EXISTS fieldloop_leases ("
    "name TEXT PRIMARY KEY, owner TEXT NOT NULL, expire_micros BIGINT NOT NULL)";
constexpr char kMigrationTable[] =
    "CREATE TABLE IF NOT EXISTS fieldloop_migrations (number INTEGER PRIMARY KEY, name TEXT NOT "
    "NULL)";

// The only place that reads what a database driver says in words: SOCI 4.0 gives no codes for both
// backends.
absl::Status FromError(absl::string_view text) {
  if (absl::StrContains(text, "disk is full") || absl::StrContains(text, "No space left")) {
    return absl::ResourceExhaustedError("the disk of the database is full; free some space");
  }
  if (absl::StrContains(text, "UNIQUE constraint") || absl::StrContains(text, "duplicate key")) {
    return absl::AlreadyExistsError("exists already");
  }
  if (absl::StrContains(text, "could not serialize") || absl::StrContains(text, "deadlock")) {
    return absl::AbortedError(text);
  }
  if (absl::StrContains(text, "database is locked") || absl::StrContains(text, "onnect") ||
      absl::StrContains(text, "unable to open") || absl::StrContains(text, "terminating") ||
      absl::StrContains(text, "readonly database") || absl::StrContains(text, "disk I/O error")) {
    return absl::UnavailableError(absl::StrCat("database: ", text));
  }
  return absl::InternalError(absl::StrCat("database: ", text));
}

bool IsSqlite(absl::string_view connection) { return absl::StartsWith(connection, "sqlite3:"); }

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

absl::Status ApplyMigrations(soci::session& session, const std::vector<Migration>& migrations) {
  session << kMigrationTable;
  session << kLeaseTable;
  int applied = 0;
  session << "SELECT COALESCE(MAX(number), 0) FROM fieldloop_migrations", soci::into(applied);
  if (applied > static_cast<int>(migrations.size())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the database has schema ", applied, ", this program knows ",
                     migrations.size(), ": run the newer program, or restore a backup"));
  }
  for (const Migration& migration : migrations) {
    if (migration.number <= applied) {
      continue;
    }
    const std::string sql = WithoutComments(migration.sql);
    for (const absl::string_view statement : absl::StrSplit(sql, ";\n", absl::SkipWhitespace())) {
      session << std::string(absl::StripSuffix(absl::StripAsciiWhitespace(statement), ";"));
    }
    const std::string name = migration.name;
    session << "INSERT INTO fieldloop_migrations (number, name) VALUES (:number, :name)",
        soci::use(migration.number), soci::use(name);
    spdlog::info("applied schema {} {}", migration.number, migration.name);
  }
  return absl::OkStatus();
}

}  // namespace

struct Database::State {
  State(int pool_size, bool is_sqlite)
      : pool(static_cast<std::size_t>(pool_size)), sqlite(is_sqlite) {}
  soci::connection_pool pool;
  bool sqlite;
};

Database::Database(std::unique_ptr<State> state) : state_(std::move(state)) {}
Database::~Database() = default;

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const DatabaseOptions& options,
                                                         const std::vector<Migration>& migrations) {
  auto state =
      std::make_unique<State>(std::max(1, options.pool_size), IsSqlite(options.connection));
  try {
    for (std::size_t i = 0; i < static_cast<std::size_t>(std::max(1, options.pool_size)); ++i) {
      soci::session& session = state->pool.at(i);
      session.open(options.connection);
      if (state->sqlite) {
        session << "PRAGMA busy_timeout = 10000";
        session << "PRAGMA journal_mode = WAL";
        session << "PRAGMA synchronous = FULL";
        // 32 MB: pages that change often are written into the database once for many commits.
        session << "PRAGMA wal_autocheckpoint = 8000";
        session << "PRAGMA foreign_keys = ON";
      }
    }
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("cannot open the database: ", error.what()));
  }
  std::unique_ptr<Database> database(new Database(std::move(state)));
  const bool sqlite = database->state_->sqlite;
  FIELDLOOP_RETURN_IF_ERROR(database->Write([&](soci::session& session) {
    if (!sqlite) {
      session << "SELECT pg_advisory_xact_lock(4607182418800017408)";
    }
    return ApplyMigrations(session, migrations);
  }));
  return database;
}

absl::Status Database::Write(absl::FunctionRef<absl::Status(soci::session&)> body) {
  return Transact(true, body);
}

absl::Status Database::Read(absl::FunctionRef<absl::Status(soci::session&)> body) {
  return Transact(false, body);
}

absl::Status Database::Transact(bool write, absl::FunctionRef<absl::Status(soci::session&)> body) {
  const char* begin = "BEGIN";
  if (state_->sqlite) {
    // Taking the write lock first makes a busy database wait instead of failing in the middle.
    begin = write ? "BEGIN IMMEDIATE" : "BEGIN";
  } else {
    begin = write ? "BEGIN ISOLATION LEVEL SERIALIZABLE"
                  : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  }
  absl::Status status;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    soci::session session(state_->pool);
    bool open = false;
    try {
      session << begin;
      open = true;
      status = body(session);
      session << (status.ok() ? "COMMIT" : "ROLLBACK");
      open = false;
    } catch (const std::exception& error) {
      status = FromError(error.what());
    }
    if (open) {
      try {
        session << "ROLLBACK";
      } catch (const std::exception& error) {
        spdlog::warn("rollback: {}", error.what());
      }
    }
    if (!absl::IsAborted(status)) {
      return status;
    }
  }
  return absl::UnavailableError(absl::StrCat("database: ", status.message()));
}

}  // namespace fieldloop
