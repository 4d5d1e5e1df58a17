// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SUPPORT_POSTGRES_SCRATCH_DATABASE_H_
#define FIELDLOOP_TESTS_SUPPORT_POSTGRES_SCRATCH_DATABASE_H_

#include <memory>
#include <ostream>
#include <vector>

#include <gtest/gtest.h>

#include "services/common/sql/database.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/postgres/postgres_database.h"

namespace fieldloop::testing {

enum class Engine { kSqlite, kPostgres };
inline void PrintTo(Engine engine, std::ostream* os) {
  *os << (engine == Engine::kSqlite ? "SQLite" : "PostgreSQL");
}

// An empty database with a service's schema, gone with the object. On PostgreSQL each Write
// runs twice, as if it had lost against another one at first: no store may count on running once.
class ScratchDatabase {
 public:
  // If `engine` is PostgreSQL and no server was started, the running test is skipped; what a
  // fixture gets for its constructor to end is then on SQLite, and a test body has to look at
  // IsSkipped().
  static std::unique_ptr<ScratchDatabase> Make(Engine engine,
                                               const std::vector<Migration>& migrations) {
    std::unique_ptr<ScratchDatabase> scratch(new ScratchDatabase);
    if (engine == Engine::kPostgres) {
      scratch->postgres_ = PostgresDatabase::Make();
      if (scratch->postgres_ == nullptr) {
        Skip();
      }
    }
    const bool on_postgres = scratch->postgres_ != nullptr;
    scratch->options_.pool_size = 3;
    scratch->options_.rehearse = on_postgres;
    scratch->options_.connection =
        on_postgres ? scratch->postgres_->uri() : "sqlite3://" + (scratch->folder_ / "test.db");
    auto opened = Database::Open(scratch->options_, migrations);
    EXPECT_TRUE(opened.ok()) << opened.status();
    scratch->database_ = *std::move(opened);
    return scratch;
  }

  Database& get() { return *database_; }
  // For another process's view of the same database.
  const DatabaseOptions& options() const { return options_; }

 private:
  ScratchDatabase() = default;
  static void Skip() { GTEST_SKIP() << kNoPostgres; }

  TemporaryFolder folder_;
  std::unique_ptr<PostgresDatabase> postgres_;
  DatabaseOptions options_;
  std::unique_ptr<Database> database_;
};

// What makes a `Stores` over a ScratchDatabase of `engine`.
template <typename Interface, typename Stores>
auto MakeOn(Engine engine, const std::vector<Migration>& migrations) {
  return [engine, &migrations]() -> std::unique_ptr<Interface> {
    return std::make_unique<Stores>(ScratchDatabase::Make(engine, migrations));
  };
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SUPPORT_POSTGRES_SCRATCH_DATABASE_H_
