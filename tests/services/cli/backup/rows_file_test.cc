// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/rows_file.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;

const TableShape kTable = {.name = "things",
                           .columns = {{"name", ColumnType::kText},
                                       {"count", ColumnType::kInteger},
                                       {"size", ColumnType::kReal}},
                           .key = {}};

class RowsFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::int64_t> Read(const std::string& text) {
    table_ = {};
    rows_.clear();
    return ReadRowsFile(
        *store_, store_->Put(text)->digest,
        [this](const TableShape& table) {
          table_ = table;
          return absl::OkStatus();
        },
        [this](TableRow row) {
          rows_.push_back(std::move(row));
          return absl::OkStatus();
        });
  }

  const TemporaryFolder folder_;
  const std::unique_ptr<BlobStore> store_ = *OpenFolderBlobStore(folder_ / "blobs");
  TableShape table_;
  std::vector<TableRow> rows_;
};

TEST_F(RowsFileTest, IsAsItIsDocumented) {
  EXPECT_EQ(HeaderLine(kTable) + RowLine(kTable, {"a \"b\"", std::int64_t{-3}, 0.1}),
            "{\"columns\":[[\"name\",\"text\"],[\"count\",\"integer\"],[\"size\",\"real\"]],"
            "\"table\":\"things\"}\n[\"a \\\"b\\\"\",-3,0.1]\n");
}

TEST_F(RowsFileTest, EveryValueComesBack) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<TableRow> rows = {
      {"line\nbreak", std::numeric_limits<std::int64_t>::min(), 5.0},
      {"\xc3\xa4", std::numeric_limits<std::int64_t>::max(), infinity},
      {std::string("no \xff UTF-8 \0", 11), std::int64_t{0}, -infinity},
      {std::monostate(), std::monostate(), 4.9406564584124654e-324},
  };
  std::string text = HeaderLine(kTable);
  for (const TableRow& row : rows) {
    text += RowLine(kTable, row);
  }
  const auto count = Read(text + RowLine(kTable, {"", std::int64_t{1}, std::nan("")}));
  ASSERT_THAT(count, IsOk());
  EXPECT_EQ(*count, 5);
  EXPECT_EQ(table_.name, kTable.name);
  EXPECT_EQ(table_.columns, kTable.columns);
  EXPECT_TRUE(std::isnan(std::get<double>(rows_.back().at(2))));
  rows_.pop_back();
  EXPECT_EQ(rows_, rows);
}

TEST_F(RowsFileTest, WhatIsNotOfThisFormIsDataLoss) {
  const std::string header = HeaderLine(kTable);
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("{}\n"), header + "[\"a\",1,2.0]",
        header + "[\"a\",1]\n", header + "[\"a\",1,2.0,3]\n", header + "[1,1,2.0]\n",
        header + "[\"a\",\"1\",2.0]\n", header + "[\"a\",1.5,2.0]\n", header + "[\"a\",1,\"x\"]\n",
        header + "7\n", std::string("{\"table\":\"t\",\"columns\":[[\"a\",\"blob\"]]}\n")}) {
    EXPECT_THAT(Read(text), StatusIs(absl::StatusCode::kDataLoss)) << text;
  }
  EXPECT_THAT(ReadRowsFile(
                  *store_, std::string(64, '0'), [](const TableShape&) { return absl::OkStatus(); },
                  [](const TableRow&) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace fieldloop::cli
