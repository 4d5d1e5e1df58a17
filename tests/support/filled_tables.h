// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SUPPORT_FILLED_TABLES_H_
#define FIELDLOOP_TESTS_SUPPORT_FILLED_TABLES_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>
#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "services/common/sql/database.h"
#include "services/common/sql/table_copy.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::testing {

// Rows as they may stand in any table of a service: row i has the text "t<i>" and the number i in
// every column, which references and checks allow.
inline TableRow FilledRow(const TableShape& table, int i) {
  TableRow row;
  for (const TableColumn& column : table.columns) {
    switch (column.type) {
      case ColumnType::kText:
        row.emplace_back(absl::StrCat("t", i));
        break;
      case ColumnType::kInteger:
        row.emplace_back(std::int64_t{i});
        break;
      case ColumnType::kReal:
        row.emplace_back(i + 0.1);
        break;
    }
  }
  return row;
}

// Puts two more rows into each table; `change` may change one before.
inline void FillTables(
    Database& database, const std::function<void(const TableShape&, TableRow&)>& change =
                            [](const TableShape&, TableRow&) {}) {
  EXPECT_THAT(database.Write([&](soci::session& session) -> absl::Status {
    const auto tables = ListTables(session);
    EXPECT_THAT(tables, IsOk());
    for (const TableShape& table : *tables) {
      TableWriter writer(session, table);
      for (const int i : {1, 2}) {
        TableRow row = FilledRow(table, i);
        change(table, row);
        EXPECT_THAT(writer.Add(row), IsOk());
      }
      writer.Finish();
    }
    return absl::OkStatus();
  }),
              IsOk());
}

// Of each table the values of each column, in the order of the rows.
using Columns = std::map<std::pair<std::string, std::string>, std::vector<TableValue>>;
inline Columns ReadColumns(Database& database) {
  Columns columns;
  EXPECT_THAT(database.Read([&](soci::session& session) -> absl::Status {
    columns.clear();
    const auto tables = ListTables(session);
    EXPECT_THAT(tables, IsOk());
    for (const TableShape& table : *tables) {
      for (const TableColumn& column : table.columns) {
        columns[{table.name, column.name}];
      }
      EXPECT_THAT(ReadTable(session, table,
                            [&](const TableRow& row) {
                              for (std::size_t i = 0; i < row.size(); ++i) {
                                columns[{table.name, table.columns[i].name}].push_back(row[i]);
                              }
                              return absl::OkStatus();
                            }),
                  IsOk());
    }
    return absl::OkStatus();
  }),
              IsOk());
  return columns;
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_SUPPORT_FILLED_TABLES_H_
