// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/audit/audit_chain.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

AuditRecord Record(int i) {
  return {.time_ms = 1'769'860'800'000 + i,
          .subject = "apiTokens/4f0c",
          .role = "operator",
          .method = "fieldloop.build.v1.BuildService/CreateBuild",
          .target = absl::StrCat("projects/motor/builds/", i),
          .outcome = "OK",
          .request_id = "order-66",
          .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"};
}

std::vector<AuditEntry> Chain(int count) {
  std::vector<AuditEntry> entries;
  AuditHead head;
  for (int i = 1; i <= count; ++i) {
    entries.push_back(Chained(head, Record(i)));
    head = {.sequence = i, .hash = entries.back().hash};
  }
  return entries;
}

// What is wrong with a chain; OK if nothing.
absl::Status Check(const std::vector<AuditEntry>& entries) {
  AuditChainCheck check;
  for (const AuditEntry& entry : entries) {
    if (absl::Status status = check.Take(entry); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

TEST(AuditChainTest, AnEntryIsHashedAsTheContractSays) {
  const AuditEntry entry = Chain(1)[0];
  EXPECT_EQ(CanonicalBytes(entry),
            absl::StrCat("17:fieldloop-audit-1,1:1,13:1769860800001,14:apiTokens/4f0c,8:operator,"
                         "43:fieldloop.build.v1.BuildService/CreateBuild,"
                         "23:projects/motor/builds/1,2:OK,8:order-66,"
                         "32:4bf92f3577b34da6a3ce929d0e0e4736,64:",
                         std::string(64, '0'), ","));
  // By: printf %s BYTES | sha256sum
  EXPECT_EQ(entry.hash, "ec882962275a14f075fdcd9a13eb3591708777a072c0e7d45cb5c71fefa9bf0f");
  EXPECT_EQ(entry.previous_hash, kNoAuditHash);
}

TEST(AuditChainTest, AWholeChainPassesAndEndsWithItsHead) {
  const std::vector<AuditEntry> entries = Chain(5);
  AuditChainCheck check;
  EXPECT_THAT(check.Finish({}), IsOk());  // None yet.
  for (const AuditEntry& entry : entries) {
    ASSERT_THAT(check.Take(entry), IsOk());
  }
  EXPECT_EQ(check.head(), (AuditHead{.sequence = 5, .hash = entries[4].hash}));
  EXPECT_THAT(check.Finish(check.head()), IsOk());
}

TEST(AuditChainTest, AChangeOfAnyFieldIsFound) {
  const std::vector<std::function<void(AuditEntry&)>> changes = {
      [](AuditEntry& e) { ++e.record.time_ms; },
      [](AuditEntry& e) { e.record.subject = "apiTokens/0000"; },
      [](AuditEntry& e) { e.record.role = "viewer"; },
      [](AuditEntry& e) { e.record.method.clear(); },
      [](AuditEntry& e) { e.record.target += "0"; },
      [](AuditEntry& e) { e.record.outcome = "PERMISSION_DENIED"; },
      [](AuditEntry& e) { e.record.request_id = ""; },
      [](AuditEntry& e) { e.record.trace_id = ""; },
      [](AuditEntry& e) { e.hash = std::string(64, 'a'); },
      // What goes from one field into the next.
      [](AuditEntry& e) {
        e.record.subject += e.record.role;
        e.record.role.clear();
      },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    std::vector<AuditEntry> entries = Chain(5);
    changes[i](entries[2]);
    EXPECT_THAT(Check(entries), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_THAT(std::string(Check(entries).message()), HasSubstr("entry 3 was changed"));
  }
}

TEST(AuditChainTest, AnEntryThatWasHashedAnewAfterAChangeDoesNotFitTheNext) {
  std::vector<AuditEntry> entries = Chain(5);
  entries[2].record.subject = "apiTokens/0000";
  entries[2].hash = HashOf(entries[2]);
  EXPECT_THAT(std::string(Check(entries).message()),
              HasSubstr("entry 4 does not follow on the one before"));
}

TEST(AuditChainTest, WhatIsTakenOutOrMovedIsFound) {
  std::vector<AuditEntry> removed = Chain(5);
  removed.erase(removed.begin() + 1);
  EXPECT_THAT(std::string(Check(removed).message()), HasSubstr("entry 2 is not there"));
  // Also when the rest is numbered anew.
  for (std::size_t i = 1; i < removed.size(); ++i) {
    --removed[i].sequence;
  }
  EXPECT_THAT(std::string(Check(removed).message()), HasSubstr("entry 2 does not follow"));
  std::vector<AuditEntry> swapped = Chain(5);
  std::swap(swapped[1].record, swapped[2].record);
  EXPECT_THAT(std::string(Check(swapped).message()), HasSubstr("entry 2 was changed"));
}

TEST(AuditChainTest, AnEndThatIsCutOffIsFoundByTheHead) {
  std::vector<AuditEntry> entries = Chain(5);
  const AuditHead head{.sequence = 5, .hash = entries.back().hash};
  entries.pop_back();
  AuditChainCheck check;
  for (const AuditEntry& entry : entries) {
    ASSERT_THAT(check.Take(entry), IsOk());
  }
  EXPECT_THAT(check.Finish(head), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace fieldloop
