// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/table_copy.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "services/common/sql/database.h"
#include "tests/support/postgres/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::ScratchDatabase;
using ::fieldloop::testing::StatusIs;

const std::vector<Migration> kTables = {
    {1, "tables",
     "CREATE TABLE things (size DOUBLE PRECISION, name TEXT NOT NULL, kind INTEGER NOT NULL, "
     "count BIGINT, PRIMARY KEY (kind, name));\n"
     "CREATE TABLE lone (value BIGINT NOT NULL, note TEXT NOT NULL);\n"}};
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

class TableCopyTest : public ::testing::TestWithParam<Engine> {
 protected:
  std::vector<TableShape> Tables() {
    std::vector<TableShape> tables;
    EXPECT_THAT(scratch_->get().Read([&](soci::session& session) -> absl::Status {
      auto listed = ListTables(session);
      EXPECT_THAT(listed, IsOk());
      tables = *std::move(listed);
      return absl::OkStatus();
    }),
                IsOk());
    return tables;
  }
  absl::Status Write(const TableShape& table, const std::vector<TableRow>& rows) {
    return scratch_->get().Write([&](soci::session& session) -> absl::Status {
      TableWriter writer(session, table);
      for (const TableRow& row : rows) {
        if (absl::Status added = writer.Add(row); !added.ok()) {
          return added;
        }
      }
      writer.Finish();
      return absl::OkStatus();
    });
  }
  std::vector<TableRow> Read(const TableShape& table) {
    std::vector<TableRow> rows;
    EXPECT_THAT(scratch_->get().Read([&](soci::session& session) {
      return ReadTable(session, table, [&](const TableRow& row) {
        rows.push_back(row);
        return absl::OkStatus();
      });
    }),
                IsOk());
    return rows;
  }

  const std::unique_ptr<ScratchDatabase> scratch_ = ScratchDatabase::Make(GetParam(), kTables);
};

TEST_P(TableCopyTest, TablesAreListedAsTheyWereMadeWithoutThoseOfTheDatabaseItself) {
  const std::vector<TableShape> tables = Tables();
  ASSERT_EQ(tables.size(), 2);
  EXPECT_EQ(tables[0].name, "things");
  EXPECT_EQ(tables[0].columns, (std::vector<TableColumn>{{"size", ColumnType::kReal},
                                                         {"name", ColumnType::kText},
                                                         {"kind", ColumnType::kInteger},
                                                         {"count", ColumnType::kInteger}}));
  EXPECT_EQ(tables[0].key, (std::vector<std::string>{"kind", "name"}));
  EXPECT_EQ(tables[1].name, "lone");
  EXPECT_TRUE(tables[1].key.empty());
}

TEST_P(TableCopyTest, ValuesComeBackAsTheyWereInTheOrderOfTheKeyByBytes) {
  const TableShape things = Tables().front();
  const std::monostate null;
  const std::vector<TableRow> rows = {
      {0.1, "", std::int64_t{1}, kMost},
      {-1e300, "Zebra 'with' :colon", std::int64_t{1}, -kMost},
      {null, "apple\nline", std::int64_t{1}, null},
      {5.0, "\xc3\xa4pfel", std::int64_t{1}, std::int64_t{0}},
      {std::numeric_limits<double>::infinity(), "apple", std::int64_t{2}, std::int64_t{0}},
  };
  ASSERT_THAT(Write(things, {rows[4], rows[2], rows[3], rows[0], rows[1]}), IsOk());
  EXPECT_EQ(Read(things), rows);
}

TEST_P(TableCopyTest, ATableWithoutAKeyKeepsRowsThatAreTheSame) {
  const TableShape lone = Tables().back();
  const std::vector<TableRow> rows = {
      {std::int64_t{1}, "a"}, {std::int64_t{1}, "a"}, {std::int64_t{2}, ""}};
  ASSERT_THAT(Write(lone, {rows[2], rows[0], rows[1]}), IsOk());
  EXPECT_EQ(Read(lone), rows);
}

TEST_P(TableCopyTest, MoreRowsThanOneStatementTakesAllCome) {
  const TableShape things = Tables().front();
  std::vector<TableRow> rows;
  for (int i = 0; i < 4567; ++i) {
    rows.push_back({0.5 * i, absl::StrCat("n", i), std::int64_t{i}, std::int64_t{-i}});
  }
  ASSERT_THAT(Write(things, rows), IsOk());
  EXPECT_EQ(Read(things), rows);
}

TEST_P(TableCopyTest, AValueThatDoesNotFitItsColumnIsRefused) {
  const TableShape lone = Tables().back();
  EXPECT_THAT(Write(lone, {{"text", "a"}}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Write(lone, {{std::int64_t{1}}}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(Read(lone).empty());
}

INSTANTIATE_TEST_SUITE_P(Engines, TableCopyTest,
                         ::testing::Values(Engine::kSqlite, Engine::kPostgres),
                         [](const auto& param_info) {
                           return ::testing::PrintToString(param_info.param);
                         });

}  // namespace
}  // namespace fieldloop
