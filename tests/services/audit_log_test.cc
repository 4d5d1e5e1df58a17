// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The audit log of every service, on both databases.

#include "services/common/audit/audit_log.h"

#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "migrations/build_storage.h"
#include "migrations/distribution_storage.h"
#include "migrations/evaluation_storage.h"
#include "migrations/ingestion_storage.h"
#include "migrations/provisioning_storage.h"
#include "services/common/sql/database.h"
#include "tests/support/postgres/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::ScratchDatabase;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Service {
  std::string name;
  const std::vector<Migration>* migrations = nullptr;
  Engine engine = Engine::kSqlite;
  friend void PrintTo(const Service& service, std::ostream* os) {
    *os << service.name << " on " << ::testing::PrintToString(service.engine);
  }
};

AuditRecord Record(int i) {
  return {.time_ms = 1000 + i,
          .subject = "apiTokens/4f0c",
          .role = "admin",
          .method = "fieldloop.x.v1.X/Create",
          .target = absl::StrCat("projects/motor/x/", i),
          .outcome = "OK",
          .request_id = "r",
          .trace_id = "t"};
}

class AuditLogContract : public ::testing::TestWithParam<Service> {
 protected:
  void SetUp() override {
    scratch_ = ScratchDatabase::Make(GetParam().engine, *GetParam().migrations);
    log_ = std::make_unique<AuditLog>(scratch_->get());
  }

  void Fill(int count) {
    for (int i = 1; i <= count; ++i) {
      ASSERT_THAT(log_->Append(Record(i)), IsOk());
    }
  }
  // What somebody does who can write into the database.
  void Tamper(const std::string& sql) {
    ASSERT_THAT(scratch_->get().Write([&](soci::session& session) {
      session << sql;
      return absl::OkStatus();
    }),
                IsOk());
  }
  // Walks the chain by pages.
  absl::Status Verify() {
    AuditChainCheck check;
    for (;;) {
      const absl::StatusOr<AuditLog::Page> page = log_->List(check.head().sequence, 0, 3);
      if (!page.ok()) {
        return page.status();
      }
      for (const AuditEntry& entry : page->entries) {
        if (absl::Status status = check.Take(entry); !status.ok()) {
          return status;
        }
      }
      if (page->entries.empty()) {
        return check.Finish(page->head);
      }
    }
  }

  std::unique_ptr<ScratchDatabase> scratch_;
  std::unique_ptr<AuditLog> log_;
};

TEST_P(AuditLogContract, RecordsAreAppendedAndComeBackInOrder) {
  ASSERT_THAT(Verify(), IsOk());
  Fill(7);
  ASSERT_THAT(Verify(), IsOk());
  const absl::StatusOr<AuditLog::Page> page = log_->List(2, 0, 2);
  ASSERT_THAT(page, IsOk());
  ASSERT_THAT(page->entries, SizeIs(2));
  EXPECT_EQ(page->entries[0].sequence, 3);
  EXPECT_EQ(page->entries[0].record, Record(3));
  EXPECT_EQ(page->entries[1].previous_hash, page->entries[0].hash);
  EXPECT_EQ(page->head.sequence, 7);
  EXPECT_THAT(log_->List(0, 1006, 10)->entries, SizeIs(2));
}

TEST_P(AuditLogContract, TextsThatADatabaseCannotHoldAreEscapedBeforeTheyAreHashed) {
  AuditRecord record = Record(1);
  record.target = std::string("projects/\0\xFF\n", 12);
  record.request_id = std::string(5000, 'x');
  ASSERT_THAT(log_->Append(record), IsOk());
  ASSERT_THAT(Verify(), IsOk());
  const AuditRecord kept = log_->List(0, 0, 1)->entries[0].record;
  EXPECT_EQ(kept.target, "projects/\\000\\377\\n");
  EXPECT_EQ(kept.request_id.size(), 512U);
}

TEST_P(AuditLogContract, ReplicasThatAppendAtOnceMakeOneChain) {
  constexpr int kReplicas = 4;
  constexpr int kThreads = 3;
  constexpr int kEach = 10;
  std::vector<std::unique_ptr<Database>> databases;
  std::vector<std::unique_ptr<AuditLog>> logs;
  for (int i = 0; i < kReplicas; ++i) {
    auto database = Database::Open(scratch_->options(), *GetParam().migrations);
    ASSERT_THAT(database, IsOk());
    databases.push_back(*std::move(database));
    logs.push_back(std::make_unique<AuditLog>(*databases.back()));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kReplicas * kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_THAT(logs[static_cast<std::size_t>(t % kReplicas)]->Append(Record(t * 100 + i)),
                    IsOk());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(Verify(), IsOk());
  EXPECT_EQ(log_->List(0, 0, 1)->head.sequence, kReplicas * kThreads * kEach);
}

TEST_P(AuditLogContract, WhatWasChangedRemovedOrMovedIsNamed) {
  Fill(6);
  Tamper("UPDATE audit_entries SET subject = 'apiTokens/0000' WHERE sequence = 4");
  EXPECT_THAT(std::string(Verify().message()), HasSubstr("entry 4 was changed"));
  Tamper("UPDATE audit_entries SET subject = 'apiTokens/4f0c' WHERE sequence = 4");
  ASSERT_THAT(Verify(), IsOk());
  Tamper("UPDATE audit_entries SET sequence = 99 WHERE sequence = 2");
  Tamper("UPDATE audit_entries SET sequence = 2 WHERE sequence = 3");
  Tamper("UPDATE audit_entries SET sequence = 3 WHERE sequence = 99");
  EXPECT_THAT(std::string(Verify().message()), HasSubstr("entry 2 does not follow"));
  Tamper("DELETE FROM audit_entries WHERE sequence = 2");
  EXPECT_THAT(std::string(Verify().message()), HasSubstr("entry 2 is not there"));
}

TEST_P(AuditLogContract, AnEndThatIsCutOffIsFoundUnlessTheHeadWasSetBackToo) {
  Fill(6);
  const AuditLog::Page before = *log_->List(5, 0, 1);
  Tamper("DELETE FROM audit_entries WHERE sequence = 6");
  EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kDataLoss));
  Tamper(absl::StrCat("UPDATE audit_head SET sequence = 5, hash = '",
                      before.entries[0].previous_hash, "'"));
  EXPECT_THAT(Verify(), IsOk());  // Only who kept the head knows.
  EXPECT_EQ(before.head.sequence, 6);
}

std::vector<Service> All() {
  const std::vector<std::pair<std::string, const std::vector<Migration>*>> services = {
      {"build", &build::Migrations()},
      {"distribution", &distribution::Migrations()},
      {"evaluation", &evaluation::Migrations()},
      {"ingestion", &ingestion::Migrations()},
      {"provisioning", &provisioning::Migrations()}};
  std::vector<Service> all;
  for (const auto& [name, migrations] : services) {
    for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
      all.push_back({.name = name, .migrations = migrations, .engine = engine});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Services, AuditLogContract, ::testing::ValuesIn(All()),
                         [](const auto& param_info) {
                           return absl::StrCat(param_info.param.name, "On",
                                               ::testing::PrintToString(param_info.param.engine));
                         });

}  // namespace
}  // namespace fieldloop
