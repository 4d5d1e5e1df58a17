// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/table_copy.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include <soci/soci.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/sql/database_backup.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

constexpr char kCursor[] = "fieldloop_rows";
constexpr int kFetchedRows = 1000;
// Values of one INSERT; both databases take more.
constexpr std::size_t kValuesAtOnce = 4000;

// Key: 0, or the column's place in it from 1 on.
constexpr char kSqliteColumns[] =
    "SELECT m.name, c.name, lower(c.type), c.pk FROM sqlite_master m, pragma_table_info(m.name) c "
    "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.rowid, c.cid";
constexpr char kPostgresColumns[] =
    "SELECT t.relname::text, a.attname::text, format_type(a.atttypid, NULL), "
    "COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0) FROM pg_class t JOIN pg_attribute "
    "a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT "
    "a.attisdropped LEFT JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary "
    "WHERE t.relkind = 'r' AND t.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = "
    "current_schema()) ORDER BY t.oid, a.attnum";

bool IsPostgres(const soci::session& session) { return session.get_backend_name() == "postgresql"; }

std::optional<ColumnType> TypeOf(absl::string_view declared) {
  if (declared == "text") {
    return ColumnType::kText;
  }
  if (declared == "integer" || declared == "bigint") {
    return ColumnType::kInteger;
  }
  return declared == "double precision" ? std::optional(ColumnType::kReal) : std::nullopt;
}

// A place that SOCI reads into or writes from.
struct Cell {
  std::string text;
  long long integer = 0;
  double real = 0;
  soci::indicator indicator = soci::i_ok;

  void Into(soci::statement& statement, ColumnType type) {
    switch (type) {
      case ColumnType::kText:
        return statement.exchange(soci::into(text, indicator));
      case ColumnType::kInteger:
        return statement.exchange(soci::into(integer, indicator));
      case ColumnType::kReal:
        return statement.exchange(soci::into(real, indicator));
    }
  }
  void Use(soci::statement& statement, ColumnType type) {
    switch (type) {
      case ColumnType::kText:
        return statement.exchange(soci::use(text, indicator));
      case ColumnType::kInteger:
        return statement.exchange(soci::use(integer, indicator));
      case ColumnType::kReal:
        return statement.exchange(soci::use(real, indicator));
    }
  }
  TableValue Get(ColumnType type) const {
    if (indicator == soci::i_null) {
      return std::monostate();
    }
    switch (type) {
      case ColumnType::kText:
        return text;
      case ColumnType::kInteger:
        return static_cast<std::int64_t>(integer);
      case ColumnType::kReal:
        return real;
    }
    return std::monostate();
  }
  // False if it is of another type.
  bool Set(TableValue value, ColumnType type) {
    indicator = std::holds_alternative<std::monostate>(value) ? soci::i_null : soci::i_ok;
    if (indicator == soci::i_null) {
      return true;
    }
    if (std::string* const set = std::get_if<std::string>(&value); set != nullptr) {
      text = std::move(*set);
      return type == ColumnType::kText;
    }
    if (const std::int64_t* const set = std::get_if<std::int64_t>(&value); set != nullptr) {
      integer = *set;
      return type == ColumnType::kInteger;
    }
    real = std::get<double>(value);
    return type == ColumnType::kReal;
  }
};

std::string NamesOf(const TableShape& table) {
  return absl::StrJoin(table.columns, ", ", [](std::string* out, const TableColumn& column) {
    absl::StrAppend(out, column.name);
  });
}

std::string SelectOf(const TableShape& table, bool postgres) {
  std::vector<std::string> order;
  for (const TableColumn& column : table.columns) {
    const auto in_key = std::find(table.key.begin(), table.key.end(), column.name);
    if (table.key.empty() || in_key != table.key.end()) {
      order.push_back(column.name);
    }
  }
  std::sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) {
    return std::find(table.key.begin(), table.key.end(), a) <
           std::find(table.key.begin(), table.key.end(), b);
  });
  for (std::string& name : order) {
    const auto column =
        std::find_if(table.columns.begin(), table.columns.end(),
                     [&name](const TableColumn& candidate) { return candidate.name == name; });
    if (postgres && column->type == ColumnType::kText) {
      absl::StrAppend(&name, " COLLATE \"C\"");
    }
  }
  return absl::StrCat("SELECT ", NamesOf(table), " FROM ", table.name, " ORDER BY ",
                      absl::StrJoin(order, ", "));
}

}  // namespace

absl::string_view NameOf(ColumnType type) {
  switch (type) {
    case ColumnType::kText:
      return "text";
    case ColumnType::kInteger:
      return "integer";
    case ColumnType::kReal:
      return "real";
  }
  return "";
}

absl::StatusOr<std::vector<TableShape>> ListTables(soci::session& session) {
  struct Keyed {
    int place = 0;
    std::string name;
  };
  std::vector<TableShape> tables;
  std::vector<Keyed> key;
  std::string table;
  std::string column;
  std::string type;
  int place = 0;
  const auto end_table = [&] {
    std::sort(key.begin(), key.end(),
              [](const Keyed& a, const Keyed& b) { return a.place < b.place; });
    for (Keyed& entry : key) {
      tables.back().key.push_back(std::move(entry.name));
    }
    key.clear();
  };
  soci::statement select =
      (session.prepare << (IsPostgres(session) ? kPostgresColumns : kSqliteColumns),
       soci::into(table), soci::into(column), soci::into(type), soci::into(place));
  select.execute();
  while (select.fetch()) {
    if (table == kMigrationTable || table == kLeaseTable) {
      continue;
    }
    if (tables.empty() || tables.back().name != table) {
      end_table();
      tables.push_back({.name = table, .columns = {}, .key = {}});
    }
    const std::optional<ColumnType> known = TypeOf(type);
    if (!known.has_value()) {
      return absl::UnimplementedError(
          absl::StrCat(table, ".", column, " has type ", type,
                       ", want text, integer, bigint or double precision"));
    }
    tables.back().columns.push_back({.name = column, .type = *known});
    if (place > 0) {
      key.push_back({.place = place, .name = column});
    }
  }
  end_table();
  return tables;
}

void WithoutTimeouts(soci::session& session) {
  if (IsPostgres(session)) {
    session << "SET LOCAL statement_timeout = 0";
    session << "SET LOCAL idle_in_transaction_session_timeout = 0";
  }
}

absl::Status ReadTable(soci::session& session, const TableShape& table,
                       absl::FunctionRef<absl::Status(const TableRow&)> sink) {
  const bool postgres = IsPostgres(session);
  std::string select = SelectOf(table, postgres);
  if (postgres) {
    // Else the client gets the whole table into its memory.
    session << absl::StrCat("DECLARE ", kCursor, " NO SCROLL CURSOR FOR ", select);
    select = absl::StrCat("FETCH ", kFetchedRows, " FROM ", kCursor);
  }
  std::vector<Cell> cells(table.columns.size());
  TableRow row(table.columns.size());
  bool more = true;
  while (more) {
    soci::statement statement(session);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      cells[i].Into(statement, table.columns[i].type);
    }
    statement.alloc();
    statement.prepare(select, soci::details::st_one_time_query);
    statement.define_and_bind();
    bool got = statement.execute(true);
    more = postgres && got;
    while (got) {
      for (std::size_t i = 0; i < cells.size(); ++i) {
        row[i] = cells[i].Get(table.columns[i].type);
      }
      FIELDLOOP_RETURN_IF_ERROR(sink(row));
      got = statement.fetch();
    }
  }
  if (postgres) {
    session << absl::StrCat("CLOSE ", kCursor);
  }
  return absl::OkStatus();
}

struct TableWriter::Batch {
  std::size_t capacity = 0;  // Rows.
  std::size_t rows = 0;
  std::vector<Cell> cells;
  std::unique_ptr<soci::statement> whole;  // Of a full batch.
};

TableWriter::TableWriter(soci::session& session, const TableShape& table)
    : session_(session), table_(table), batch_(std::make_unique<Batch>()) {
  batch_->capacity = std::max<std::size_t>(1, kValuesAtOnce / table.columns.size());
  batch_->cells.resize(batch_->capacity * table.columns.size());
}

TableWriter::~TableWriter() = default;

absl::Status TableWriter::Add(TableRow row) {
  const std::size_t width = table_.columns.size();
  if (row.size() != width) {
    return absl::InvalidArgumentError(
        absl::StrCat(table_.name, ": got a row of ", row.size(), " values, want ", width));
  }
  for (std::size_t i = 0; i < width; ++i) {
    const TableColumn& column = table_.columns[i];
    if (!batch_->cells[batch_->rows * width + i].Set(std::move(row[i]), column.type)) {
      return absl::InvalidArgumentError(absl::StrCat(table_.name, ".", column.name,
                                                     ": got a value of another type, want ",
                                                     NameOf(column.type)));
    }
  }
  if (++batch_->rows == batch_->capacity) {
    Write(batch_->capacity);
  }
  return absl::OkStatus();
}

void TableWriter::Finish() {
  if (batch_->rows > 0) {
    Write(batch_->rows);
  }
}

void TableWriter::Write(std::size_t rows) {
  std::unique_ptr<soci::statement> part;
  std::unique_ptr<soci::statement>& statement = rows == batch_->capacity ? batch_->whole : part;
  if (statement == nullptr) {
    std::string sql = absl::StrCat("INSERT INTO ", table_.name, " (", NamesOf(table_), ") VALUES ");
    statement = std::make_unique<soci::statement>(session_);
    for (std::size_t i = 0; i < rows * table_.columns.size(); ++i) {
      const std::size_t column = i % table_.columns.size();
      batch_->cells[i].Use(*statement, table_.columns[column].type);
      absl::StrAppend(&sql, column > 0 ? ", " : (i > 0 ? "), (" : "("), ":v", i);
    }
    sql += ")";
    statement->alloc();
    statement->prepare(sql);
    statement->define_and_bind();
  }
  statement->execute(true);
  batch_->rows = 0;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop
