// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/database.h"

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/common/sql/bulk_insert.h"
#include "services/common/sql/database_backup.h"
#include "services/common/sql/lease.h"
#include "services/common/sql/pool_counts.h"
#include "services/common/sql/postgres_probe.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/postgres/postgres_database.h"
#include "tests/support/postgres/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::kNoPostgres;
using ::fieldloop::testing::PostgresServer;
using ::fieldloop::testing::ScratchDatabase;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;

const std::vector<Migration> kFirst = {
    {1, "initial",
     "-- A comment: with 'quotes';\nCREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT "
     "NULL);\n\nINSERT INTO counters (name, value) VALUES ('a', 0);\n"}};
const std::vector<Migration> kNone;

class DatabaseTest : public ::testing::TestWithParam<Engine> {
 protected:
  // As another process does that uses the same database.
  absl::StatusOr<std::unique_ptr<Database>> Open(const std::vector<Migration>& migrations) {
    return Database::Open(Options(), migrations);
  }
  DatabaseOptions Options() {
    DatabaseOptions options = scratch_->options();
    options.rehearse = false;
    return options;
  }
  static long long Value(Database& database) {
    long long value = -1;
    EXPECT_THAT(database.Read([&](soci::session& session) {
      session << "SELECT value FROM counters WHERE name = 'a'", soci::into(value);
      return absl::OkStatus();
    }),
                IsOk());
    return value;
  }
  static absl::Status Add(Database& database, const absl::Status& result = absl::OkStatus()) {
    return database.Write([&](soci::session& session) {
      long long value = 0;
      session << "SELECT value FROM counters WHERE name = 'a'", soci::into(value);
      ++value;
      session << "UPDATE counters SET value = :value WHERE name = 'a'", soci::use(value);
      return result;
    });
  }

  const std::unique_ptr<ScratchDatabase> scratch_ = ScratchDatabase::Make(GetParam(), kNone);
};

TEST_P(DatabaseTest, MigrationsAreAppliedOnceAndInOrder) {
  {
    const auto database = Open(kFirst);
    ASSERT_THAT(database, IsOk());
    ASSERT_THAT(Add(**database), IsOk());
  }
  std::vector<Migration> more = kFirst;
  more.push_back({2, "more", "UPDATE counters SET value = value + 10;\n"});
  for (int start = 0; start < 2; ++start) {
    const auto database = Open(more);
    ASSERT_THAT(database, IsOk());
    EXPECT_EQ(Value(**database), 11);
  }
}

TEST_P(DatabaseTest, AMigrationThatFailsLeavesTheSchemaAsItWas) {
  ASSERT_THAT(Open(kFirst), IsOk());
  std::vector<Migration> bad = kFirst;
  bad.push_back({2, "bad", "UPDATE counters SET value = 5;\nNO SQL AT ALL;\n"});
  EXPECT_FALSE(Open(bad).ok());
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_EQ(Value(**database), 0);
}

TEST_P(DatabaseTest, AnOlderProgramRefusesANewerSchema) {
  std::vector<Migration> more = kFirst;
  more.push_back({2, "more", "UPDATE counters SET value = 1;\n"});
  ASSERT_THAT(Open(more), IsOk());
  EXPECT_THAT(Open(kFirst), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(DatabaseTest, WhileARestoreFillsItNobodyElseOpensIt) {
  const auto fresh = ScratchDatabase::Make(GetParam(), kNone);
  if (IsSkipped()) {
    return;
  }
  DatabaseOptions options = fresh->options();
  options.schema = GetParam() == Engine::kPostgres ? "restored" : "";
  options.connection += GetParam() == Engine::kPostgres ? "" : ".restored";
  ASSERT_THAT(OpenDatabaseToRestore(options, kFirst), IsOk());
  const auto restoring = OpenDatabaseToRestore(options, kFirst);  // It may come back.
  ASSERT_THAT(restoring, IsOk());
  EXPECT_THAT(Database::Open(options, kFirst), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT((*restoring)->Write([](soci::session& session) {
    EXPECT_TRUE(HasSchema(session));
    EXPECT_TRUE(IsBeingRestored(session));
    EXPECT_EQ(SchemaNumber(session), 1);
    EndRestore(session);
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_THAT(Database::Open(options, kFirst), IsOk());
}

TEST(DatabaseOpen, ADatabaseAsItIsIsNotMade) {
  const TemporaryFolder folder;
  const std::string path = folder / "none.db";
  EXPECT_THAT(OpenDatabaseAsItIs({.connection = "sqlite3://" + path}),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(DatabaseOpen, ADatabaseThatCannotBeReachedIsUnavailable) {
  EXPECT_THAT(Database::Open({.connection = "sqlite3:///no/such/folder/x.db"}, kFirst),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Database::Open({.connection = "postgresql:///x?host=/no/such/folder"}, kFirst),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(DatabaseOpen, AConnectionOfAnotherKindIsRefused) {
  EXPECT_THAT(Database::Open({.connection = "mysql://host/x"}, kFirst),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(DatabaseTest, ReplicasThatStartAtOnceApplyEachMigrationOnce) {
  std::vector<Migration> more = kFirst;
  more.push_back({2, "more", "UPDATE counters SET value = value + 10;\n"});
  more.push_back({3, "column", "ALTER TABLE counters ADD COLUMN note TEXT NOT NULL DEFAULT '';\n"});
  std::vector<std::thread> replicas;
  for (int i = 0; i < 6; ++i) {
    replicas.emplace_back([&] { EXPECT_THAT(Open(more), IsOk()); });
  }
  for (std::thread& replica : replicas) {
    replica.join();
  }
  EXPECT_EQ(Value(**Open(more)), 10);
}

TEST_P(DatabaseTest, ATransactionThatFindsNoFreeConnectionInTimeIsUnavailable) {
  DatabaseOptions options = Options();
  options.pool_size = 1;
  options.connection_wait = absl::Milliseconds(1);
  const auto database = Database::Open(options, kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT((*database)->Read([&](soci::session& /*session*/) { return Add(**database); }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Add(**database), IsOk());
}

TEST_P(DatabaseTest, ThePoolIsCountedWhileItIsUsedAndWhenItIsExhausted) {
  const DatabasePoolCounts& counts = PoolCounts();
  const std::int64_t connections = counts.connections;
  const std::int64_t in_use = counts.in_use;
  const std::int64_t waiting = counts.waiting;
  {
    DatabaseOptions options = Options();
    options.pool_size = 1;
    options.connection_wait = absl::Milliseconds(1);
    const auto database = Database::Open(options, kFirst);
    ASSERT_THAT(database, IsOk());
    const std::int64_t transactions = counts.transactions;
    const std::int64_t timeouts = counts.timeouts;
    const std::int64_t wait_micros = counts.wait_micros;
    EXPECT_EQ(counts.connections, connections + 1);
    EXPECT_THAT((*database)->Read([&](soci::session& /*session*/) {
      EXPECT_EQ(counts.in_use, in_use + 1);
      EXPECT_EQ(counts.timeouts, timeouts);
      return Add(**database);
    }),
                StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(counts.transactions, transactions + 2);
    EXPECT_EQ(counts.timeouts, timeouts + 1);
    EXPECT_GT(counts.wait_micros, wait_micros);
  }
  EXPECT_EQ(counts.connections, connections);
  EXPECT_EQ(counts.in_use, in_use);
  EXPECT_EQ(counts.waiting, waiting);
}

TEST_P(DatabaseTest, ItIsThereHoweverBusyItsPoolIs) {
  DatabaseOptions options = Options();
  options.pool_size = 1;
  options.connection_wait = absl::Milliseconds(1);
  const auto database = Database::Open(options, kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT((*database)->Write([&](soci::session& /*session*/) {
    EXPECT_THAT(Add(**database), StatusIs(absl::StatusCode::kUnavailable));
    return (*database)->Check();
  }),
              IsOk());
}

TEST(DatabaseCheck, AFileThatIsGoneIsUnavailable) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.db";
  const auto database = Database::Open({.connection = "sqlite3://" + path}, kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT((*database)->Check(), IsOk());
  std::filesystem::remove(path);
  const absl::Status status = (*database)->Check();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

TEST_P(DatabaseTest, ARehearsedTransactionRunsTwiceAndIsCommittedOnce) {
  DatabaseOptions options = Options();
  options.rehearse = true;
  const auto database = Database::Open(options, kFirst);
  ASSERT_THAT(database, IsOk());
  int runs = 0;
  EXPECT_THAT((*database)->Write([&](soci::session& session) {
    ++runs;
    session << "UPDATE counters SET value = value + 1 WHERE name = 'a'";
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(Value(**database), 1);
}

TEST_P(DatabaseTest, AnErrorOfTheBodyRollsBackAndIsReturned) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT(Add(**database, absl::NotFoundError("no")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Value(**database), 0);
}

TEST_P(DatabaseTest, WhatSociThrowsRollsBackAndBecomesAStatus) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT((*database)->Write([](soci::session& session) {
    session << "UPDATE counters SET value = 9";
    session << "INSERT INTO counters (name, value) VALUES ('a', 1)";
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Value(**database), 0);
  EXPECT_THAT((*database)->Write([](soci::session& session) {
    session << "SELECT FROM WHERE";
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(Add(**database), IsOk());
}

TEST_P(DatabaseTest, WritersOfTwoProcessesLoseNoUpdate) {
  const auto database = Open(kFirst);
  const auto other = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  ASSERT_THAT(other, IsOk());
  constexpr int kThreads = 8;
  constexpr int kEach = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < kEach; ++j) {
        EXPECT_THAT(Add(i % 2 == 0 ? **database : **other), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(Value(**database), kThreads * kEach);
}

TEST_P(DatabaseTest, ABulkInsertThatFailsBecomesAStatusAndRollsBack) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  const std::vector<std::string> names = {"b", "a"};  // The second is there already.
  const std::vector<int> values = {1, 2};
  EXPECT_THAT((*database)->Write([&](soci::session& session) {
    BulkInsert("counters").Column("name", names).Column("value", values).Run(session);
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kAlreadyExists));
  int rows = 0;
  EXPECT_THAT((*database)->Read([&](soci::session& session) {
    session << "SELECT COUNT(*) FROM counters", soci::into(rows);
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(rows, 1);
}

TEST_P(DatabaseTest, ABulkInsertKeepsEveryValueOfEveryRow) {
  const std::vector<std::string> texts = {
      "", "NULL", "null", R"(a "quoted", {braced} \ thing)", "line\nbreak\ttab", "\xc3\xa4 '; --"};
  const std::vector<int> integers = {0, -1, 2147483647, -2147483647 - 1, 7, 8};
  const std::vector<long long> longs = {
      0, -1, 9223372036854775807LL, -9223372036854775807LL - 1, 1LL << 53, 5};
  const std::vector<double> doubles = {0, 0.1, -1e300, 5e-324, 1.0 / 3, 123456789.123456789};
  const auto database = Open({{1, "initial",
                               "CREATE TABLE things (place BIGINT NOT NULL, text TEXT NOT NULL, "
                               "small INTEGER NOT NULL, real DOUBLE PRECISION NOT NULL);"}});
  ASSERT_THAT(database, IsOk());
  const std::vector<std::string> no_texts;
  ASSERT_THAT((*database)->Write([&](soci::session& session) {
    BulkInsert("things").Column("text", no_texts).Run(session);
    BulkInsert("things")
        .Column("text", texts)
        .Column("small", integers)
        .Column("place", longs)
        .Column("real", doubles)
        .Run(session);
    return absl::OkStatus();
  }),
              IsOk());
  ASSERT_THAT((*database)->Read([&](soci::session& session) {
    int rows = 0;
    session << "SELECT COUNT(*) FROM things", soci::into(rows);
    EXPECT_EQ(rows, 6);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::string text;
      int small = 0;
      double real = 0;
      session << "SELECT text, small, real FROM things WHERE place = :place", soci::use(longs[i]),
          soci::into(text), soci::into(small), soci::into(real);
      EXPECT_TRUE(session.got_data()) << i;
      EXPECT_EQ(text, texts[i]);
      EXPECT_EQ(small, integers[i]);
      EXPECT_EQ(real, doubles[i]);
    }
    return absl::OkStatus();
  }),
              IsOk());
}

class LeaseTest : public DatabaseTest {
 protected:
  void SetUp() override {
    database_ = *Open(kFirst);
    other_ = *Open(kFirst);
    a_ = std::make_unique<LeaseTable>(*database_, clock_, "a");
    b_ = std::make_unique<LeaseTable>(*other_, clock_, "b");
  }

  FakeClock clock_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Database> other_;
  std::unique_ptr<LeaseTable> a_;
  std::unique_ptr<LeaseTable> b_;
};

TEST_P(LeaseTest, OneHolderAtATimeAndRenewalKeepsIt) {
  EXPECT_TRUE(*a_->Acquire("work", absl::Seconds(10)));
  EXPECT_FALSE(*b_->Acquire("work", absl::Seconds(10)));
  clock_.Advance(absl::Seconds(9));
  EXPECT_TRUE(*a_->Acquire("work", absl::Seconds(10)));
  clock_.Advance(absl::Seconds(9));
  EXPECT_FALSE(*b_->Acquire("work", absl::Seconds(10)));
}

TEST_P(LeaseTest, AHolderThatFallsSilentLosesItAfterItsTime) {
  EXPECT_TRUE(*a_->Acquire("work", absl::Seconds(10)));
  clock_.Advance(absl::Seconds(10) + absl::Microseconds(1));
  EXPECT_TRUE(*b_->Acquire("work", absl::Seconds(10)));
  EXPECT_FALSE(*a_->Acquire("work", absl::Seconds(10)));
}

TEST_P(LeaseTest, AReleasedLeaseIsFreeAtOnceAndOnlyItsHolderReleasesIt) {
  EXPECT_TRUE(*a_->Acquire("work", absl::Seconds(10)));
  ASSERT_THAT(b_->Release("work"), IsOk());
  EXPECT_FALSE(*b_->Acquire("work", absl::Seconds(10)));
  ASSERT_THAT(a_->Release("work"), IsOk());
  EXPECT_TRUE(*b_->Acquire("work", absl::Seconds(10)));
}

TEST_P(LeaseTest, LeasesOfDifferentNamesAreApart) {
  EXPECT_TRUE(*a_->Acquire("one", absl::Seconds(10)));
  EXPECT_TRUE(*b_->Acquire("two", absl::Seconds(10)));
}

TEST_P(LeaseTest, OfTwoWhoTakeItAtOnceOneGetsIt) {
  for (int round = 0; round < 20; ++round) {
    const std::string name = absl::StrCat("work ", round);
    std::atomic<int> winners{0};
    std::vector<std::thread> threads;
    for (LeaseTable* table : {a_.get(), b_.get()}) {
      threads.emplace_back([&, table] { winners += *table->Acquire(name, absl::Seconds(10)); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(winners.load(), 1);
  }
}

std::string NameOf(const ::testing::TestParamInfo<Engine>& engine) {
  return engine.param == Engine::kSqlite ? "Sqlite" : "Postgres";
}
INSTANTIATE_TEST_SUITE_P(Engines, DatabaseTest,
                         ::testing::Values(Engine::kSqlite, Engine::kPostgres), NameOf);
INSTANTIATE_TEST_SUITE_P(Engines, LeaseTest, ::testing::Values(Engine::kSqlite, Engine::kPostgres),
                         NameOf);

class PostgresDatabaseTest : public DatabaseTest {};
INSTANTIATE_TEST_SUITE_P(Engines, PostgresDatabaseTest, ::testing::Values(Engine::kPostgres),
                         NameOf);

TEST_P(PostgresDatabaseTest, ServicesShareADatabaseInSchemasOfTheirOwn) {
  DatabaseOptions options = Options();
  for (const char* schema : {"build", "evaluation", "build"}) {
    options.schema = schema;
    const auto database = Database::Open(options, kFirst);
    ASSERT_THAT(database, IsOk());
    ASSERT_THAT(Add(**database), IsOk());
  }
  EXPECT_EQ(Value(**Database::Open(options, kFirst)), 2);
  options.schema = "evaluation";
  EXPECT_EQ(Value(**Database::Open(options, kFirst)), 1);
}

TEST_P(PostgresDatabaseTest, AStatementThatTakesTooLongIsUnavailable) {
  DatabaseOptions options = Options();
  options.statement_timeout = absl::Seconds(77);
  const auto database = Database::Open(options, kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT((*database)->Read([](soci::session& session) {
    std::string timeout;
    session << "SHOW statement_timeout", soci::into(timeout);
    EXPECT_EQ(timeout, "77s");
    // So short for this one only: on a busy machine the others take as long.
    session << "SET LOCAL statement_timeout = 20";
    session << "SELECT pg_sleep(600)";
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Add(**database), IsOk());
}

TEST_P(PostgresDatabaseTest, TextThatIsNotUtf8IsRefused) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  const std::string name = "caf\xe9";
  EXPECT_THAT((*database)->Write([&](soci::session& session) {
    session << "INSERT INTO counters (name, value) VALUES (:name, 1)", soci::use(name);
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(PostgresDatabaseTest, AStatementThatFailedLeavesNoPreparedOneBehind) {
  DatabaseOptions options = Options();
  options.pool_size = 1;
  const auto database = Database::Open(options, kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_FALSE((*database)
                   ->Write([](soci::session& session) {
                     const std::string name = "a";
                     soci::statement insert =
                         (session.prepare << "INSERT INTO counters (name, value) VALUES (:name, 1)",
                          soci::use(name));
                     insert.execute(true);
                     return absl::OkStatus();
                   })
                   .ok());
  int left = -1;
  ASSERT_THAT((*database)->Read([&](soci::session& session) {
    session << "SELECT COUNT(*) FROM pg_prepared_statements", soci::into(left);
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(left, 0);
}

TEST_P(PostgresDatabaseTest, AServerThatTakesNoWritesIsOfNoUse) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  // Holds for connections that are new.
  const auto set_read_only = [&](const std::string& value) {
    return (*database)->Write([&](soci::session& session) {
      std::string name;
      session << "SELECT current_database()", soci::into(name);
      session << "ALTER DATABASE " << name << " SET default_transaction_read_only = " << value;
      return absl::OkStatus();
    });
  };
  ASSERT_THAT(set_read_only("on"), IsOk());
  const absl::Status status = (*database)->Check();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr("takes no writes"));
  ASSERT_THAT(set_read_only("off"), IsOk());
  EXPECT_THAT((*database)->Check(), IsOk());
}

// Listens as PostgreSQL does in a folder, lets one client in, and answers none of its questions.
class SilentServer {
 public:
  explicit SilentServer(const std::string& folder) {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    absl::SNPrintF(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", folder);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~SilentServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;

  // What the client asked, once it has gone.
  std::string Asked() {
    gone_.wait(false);
    return asked_;
  }

 private:
  void Serve() {
    const int client = accept(listener_, nullptr, nullptr);
    char received[1000];
    if (read(client, received, sizeof received) > 0) {
      // https://www.postgresql.org/docs/15/protocol-message-formats.html: AuthenticationOk, and
      // ReadyForQuery outside of a transaction.
      static constexpr char kWelcome[] = "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
      EXPECT_EQ(write(client, kWelcome, sizeof kWelcome - 1),
                static_cast<ssize_t>(sizeof kWelcome - 1));
    }
    for (ssize_t size = 0; (size = read(client, received, sizeof received)) > 0;) {
      asked_.append(received, static_cast<std::size_t>(size));
    }
    close(client);
    gone_ = true;
    gone_.notify_all();
  }

  const int listener_ = socket(AF_UNIX, SOCK_STREAM, 0);
  std::string asked_;
  std::atomic<bool> gone_ = false;
  std::thread thread_;
};

TEST(PostgresProbeTest, AServerThatDoesNotAnswerInTimeIsLeft) {
  const TemporaryFolder folder;
  SilentServer server(folder.path());
  PostgresProbe probe("postgresql://x@/x?connect_timeout=60&port=5432&host=" + folder.path(),
                      absl::Milliseconds(50));
  EXPECT_EQ(probe.Check(), absl::DeadlineExceededError("no answer within 50ms"));
  EXPECT_THAT(server.Asked(), HasSubstr("SHOW transaction_read_only"));
}

// Writers that repeat what was UNAVAILABLE, until they are told to stop.
class Writers {
 public:
  Writers(Database& database, int count) : database_(database) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, i] { Run(i); });
    }
  }
  ~Writers() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
  }
  void AwaitAcknowledged(int count) const {
    for (int now = acknowledged_; now < count; now = acknowledged_) {
      acknowledged_.wait(now);
    }
  }
  int acknowledged() const { return acknowledged_; }
  int unavailable() const { return unavailable_; }

 private:
  void Run(int writer) {
    for (int row = 0; !stop_; ++row) {
      const std::string name = absl::StrCat(writer, "/", row);
      absl::Status status;
      do {
        status = database_.Write([&](soci::session& session) {
          session << "INSERT INTO counters (name, value) VALUES (:name, 1) ON CONFLICT DO NOTHING",
              soci::use(name);
          return absl::OkStatus();
        });
        unavailable_ += absl::IsUnavailable(status);
      } while (absl::IsUnavailable(status));
      EXPECT_THAT(status, IsOk());
      ++acknowledged_;
      acknowledged_.notify_all();
    }
  }

  Database& database_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<int> acknowledged_{0};
  std::atomic<int> unavailable_{0};
};

TEST(PostgresCrash, UnderLoadIsUnavailableForAWhileAndLosesNothingAcknowledged) {
  const TemporaryFolder folder;
  const std::unique_ptr<PostgresServer> server = PostgresServer::Start(folder.path());
  if (server == nullptr) {
    GTEST_SKIP() << kNoPostgres;
  }
  const auto database = Database::Open({.connection = server->uri()}, kFirst);
  ASSERT_THAT(database, IsOk());
  Writers writers(**database, 4);
  for (int crash = 0; crash < 3; ++crash) {
    writers.AwaitAcknowledged(writers.acknowledged() + 100);
    ASSERT_TRUE(server->Restart());
  }
  writers.AwaitAcknowledged(writers.acknowledged() + 100);
  writers.Stop();
  EXPECT_GT(writers.unavailable(), 0);
  int rows = 0;
  ASSERT_THAT((*database)->Read([&](soci::session& session) {
    session << "SELECT COUNT(*) FROM counters WHERE value = 1", soci::into(rows);
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(rows, writers.acknowledged());
}

TEST(PostgresCrash, ConnectionsThatItBrokeAreMadeAnewWithoutAnError) {
  const TemporaryFolder folder;
  const std::unique_ptr<PostgresServer> server = PostgresServer::Start(folder.path());
  if (server == nullptr) {
    GTEST_SKIP() << kNoPostgres;
  }
  const auto database = Database::Open({.connection = server->uri(), .schema = "x"}, kFirst);
  ASSERT_THAT(database, IsOk());
  ASSERT_TRUE(server->Restart());
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT((*database)->Write([](soci::session& session) {
      session << "UPDATE counters SET value = value + 1";
      return absl::OkStatus();
    }),
                IsOk());
  }
}

TEST(PostgresCrash, TheDatabaseIsUnavailableUntilItsServerIsThereAgain) {
  const TemporaryFolder folder;
  const std::unique_ptr<PostgresServer> server = PostgresServer::Start(folder.path());
  if (server == nullptr) {
    GTEST_SKIP() << kNoPostgres;
  }
  const auto database = Database::Open({.connection = server->uri()}, kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT((*database)->Check(), IsOk());
  ASSERT_TRUE(server->Crash());
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = (*database)->Check();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(std::string(status.message()), HasSubstr("No such file or directory"));
  }
  ASSERT_TRUE(server->Restart());
  EXPECT_THAT((*database)->Check(), IsOk());
  ASSERT_TRUE(server->Restart());
  EXPECT_THAT((*database)->Check(), IsOk());
}

}  // namespace
}  // namespace fieldloop
