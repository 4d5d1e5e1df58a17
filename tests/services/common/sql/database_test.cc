// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/database.h"

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "services/common/sql/lease.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;

const std::vector<Migration> kFirst = {
    {1, "initial",
     "-- A comment: with 'quotes';\nCREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT "
     "NULL);\n\nINSERT INTO counters (name, value) VALUES ('a', 0);\n"}};

class DatabaseTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Database>> Open(const std::vector<Migration>& migrations) {
    return Database::Open({.connection = "sqlite3://" + (folder_ / "x.db")}, migrations);
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

  const TemporaryFolder folder_;
};

TEST_F(DatabaseTest, MigrationsAreAppliedOnceAndInOrder) {
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

TEST_F(DatabaseTest, AMigrationThatFailsLeavesTheSchemaAsItWas) {
  ASSERT_THAT(Open(kFirst), IsOk());
  std::vector<Migration> bad = kFirst;
  bad.push_back({2, "bad", "UPDATE counters SET value = 5;\nNO SQL AT ALL;\n"});
  EXPECT_FALSE(Open(bad).ok());
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_EQ(Value(**database), 0);
}

TEST_F(DatabaseTest, AnOlderProgramRefusesANewerSchema) {
  std::vector<Migration> more = kFirst;
  more.push_back({2, "more", "UPDATE counters SET value = 1;\n"});
  ASSERT_THAT(Open(more), IsOk());
  EXPECT_THAT(Open(kFirst), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(DatabaseTest, ADatabaseThatCannotBeOpenedIsUnavailable) {
  EXPECT_THAT(Database::Open({.connection = "sqlite3:///no/such/folder/x.db"}, kFirst),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(DatabaseTest, AnErrorOfTheBodyRollsBackAndIsReturned) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT(Add(**database, absl::NotFoundError("no")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Value(**database), 0);
}

TEST_F(DatabaseTest, WhatSociThrowsRollsBackAndBecomesAStatus) {
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

TEST_F(DatabaseTest, WritersFromManyThreadsLoseNoUpdate) {
  const auto database = Open(kFirst);
  ASSERT_THAT(database, IsOk());
  constexpr int kThreads = 8;
  constexpr int kEach = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kEach; ++j) {
        EXPECT_THAT(Add(**database), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(Value(**database), kThreads * kEach);
}

class LeaseTest : public DatabaseTest {
 protected:
  const std::unique_ptr<Database> database_ = *Open(kFirst);
  FakeClock clock_;
  LeaseTable a_{*database_, clock_, "a"};
  LeaseTable b_{*database_, clock_, "b"};
};

TEST_F(LeaseTest, OneHolderAtATimeAndRenewalKeepsIt) {
  EXPECT_TRUE(*a_.Acquire("work", absl::Seconds(10)));
  EXPECT_FALSE(*b_.Acquire("work", absl::Seconds(10)));
  clock_.Advance(absl::Seconds(9));
  EXPECT_TRUE(*a_.Acquire("work", absl::Seconds(10)));
  clock_.Advance(absl::Seconds(9));
  EXPECT_FALSE(*b_.Acquire("work", absl::Seconds(10)));
}

TEST_F(LeaseTest, AHolderThatFallsSilentLosesItAfterItsTime) {
  EXPECT_TRUE(*a_.Acquire("work", absl::Seconds(10)));
  clock_.Advance(absl::Seconds(10) + absl::Microseconds(1));
  EXPECT_TRUE(*b_.Acquire("work", absl::Seconds(10)));
  EXPECT_FALSE(*a_.Acquire("work", absl::Seconds(10)));
}

TEST_F(LeaseTest, AReleasedLeaseIsFreeAtOnceAndOnlyItsHolderReleasesIt) {
  EXPECT_TRUE(*a_.Acquire("work", absl::Seconds(10)));
  ASSERT_THAT(b_.Release("work"), IsOk());
  EXPECT_FALSE(*b_.Acquire("work", absl::Seconds(10)));
  ASSERT_THAT(a_.Release("work"), IsOk());
  EXPECT_TRUE(*b_.Acquire("work", absl::Seconds(10)));
}

TEST_F(LeaseTest, LeasesOfDifferentNamesAreApart) {
  EXPECT_TRUE(*a_.Acquire("one", absl::Seconds(10)));
  EXPECT_TRUE(*b_.Acquire("two", absl::Seconds(10)));
}

}  // namespace
}  // namespace fieldloop
