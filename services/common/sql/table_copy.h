// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_TABLE_COPY_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_TABLE_COPY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace soci {
class session;
}  // namespace soci

namespace fieldloop {

// Tables as they are, whatever they hold, on either database: for backups. What SOCI throws is for
// Database::Read and Database::Write to catch.

enum class ColumnType { kText, kInteger, kReal };
// "text", "integer", "real".
absl::string_view NameOf(ColumnType type);

struct TableColumn {
  std::string name;
  ColumnType type = ColumnType::kText;

  friend bool operator==(const TableColumn&, const TableColumn&) = default;
};

struct TableShape {
  std::string name;
  std::vector<TableColumn> columns;
  std::vector<std::string> key;  // Columns of the primary key; empty without one.
};

// NULL, or a value of the column's type.
using TableValue = std::variant<std::monostate, std::string, std::int64_t, double>;
using TableRow = std::vector<TableValue>;

// The tables of the connection's schema in the order in which they were made: what refers comes
// after what it refers to. Without those of Database's bookkeeping. UNIMPLEMENTED if a column is of
// a type that no migration uses.
absl::StatusOr<std::vector<TableShape>> ListTables(soci::session& session);

// Lifts the time-outs that a transaction has on PostgreSQL, for one that takes long.
void WithoutTimeouts(soci::session& session);

// Calls `sink` with every row, in the order of the key by bytes, or of all columns without one: the
// same rows come in the same order from either database. Stops at the first error and returns it.
absl::Status ReadTable(soci::session& session, const TableShape& table,
                       absl::FunctionRef<absl::Status(const TableRow&)> sink);

// Inserts rows, many with one statement. One thread; Finish() writes what waits.
class TableWriter {
 public:
  TableWriter(soci::session& session, const TableShape& table);
  ~TableWriter();
  TableWriter(const TableWriter&) = delete;
  TableWriter& operator=(const TableWriter&) = delete;

  // INVALID_ARGUMENT if a value does not fit its column.
  absl::Status Add(TableRow row);
  void Finish();

 private:
  struct Batch;
  void Write(std::size_t rows);

  soci::session& session_;
  const TableShape table_;
  std::unique_ptr<Batch> batch_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_TABLE_COPY_H_
