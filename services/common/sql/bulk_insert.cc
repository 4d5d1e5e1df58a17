// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/bulk_insert.h"

#include <memory>
#include <utility>

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace fieldloop {
namespace {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

// What an array of PostgreSQL holds, and how an element is written, see
// https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
absl::string_view TypeOf(const std::vector<std::string>& /*values*/) { return "text"; }
absl::string_view TypeOf(const std::vector<int>& /*values*/) { return "integer"; }
absl::string_view TypeOf(const std::vector<long long>& /*values*/) { return "bigint"; }
absl::string_view TypeOf(const std::vector<double>& /*values*/) { return "double precision"; }

void AppendElement(const std::string& value, std::string& array) {
  array.push_back('"');
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      array.push_back('\\');
    }
    array.push_back(c);
  }
  array.push_back('"');
}
void AppendElement(int value, std::string& array) { absl::StrAppend(&array, value); }
void AppendElement(long long value, std::string& array) { absl::StrAppend(&array, value); }
// As many digits as bring the same bits back; "inf" and "nan" are read too.
void AppendElement(double value, std::string& array) {
  absl::StrAppendFormat(&array, "%.17g", value);
}

template <typename Value>
std::string ArrayOf(const std::vector<Value>& values) {
  std::string array = "{";
  for (const Value& value : values) {
    if (array.size() > 1) {
      array.push_back(',');
    }
    AppendElement(value, array);
  }
  array.push_back('}');
  return array;
}

// NOLINTEND(google-runtime-int)

// As SOCI has it when the connection broke.
constexpr char kNoState[] = "     ";

}  // namespace

BulkInsert::BulkInsert(std::string table) : table_(std::move(table)) {}

BulkInsert& BulkInsert::Column(std::string name, const std::vector<std::string>& values) {
  columns_.push_back({.name = std::move(name), .values = &values});
  return *this;
}
BulkInsert& BulkInsert::Column(std::string name, const std::vector<int>& values) {
  columns_.push_back({.name = std::move(name), .values = &values});
  return *this;
}
// NOLINTNEXTLINE(google-runtime-int)
BulkInsert& BulkInsert::Column(std::string name, const std::vector<long long>& values) {
  columns_.push_back({.name = std::move(name), .values = &values});
  return *this;
}
BulkInsert& BulkInsert::Column(std::string name, const std::vector<double>& values) {
  columns_.push_back({.name = std::move(name), .values = &values});
  return *this;
}

std::size_t BulkInsert::Rows() const {
  return columns_.empty()
             ? 0
             : std::visit([](const auto* values) { return values->size(); }, columns_[0].values);
}

void BulkInsert::Run(soci::session& session) const {
  if (Rows() == 0) {
    return;
  }
  if (session.get_backend_name() == "postgresql") {
    RunOnPostgres(static_cast<soci::postgresql_session_backend&>(*session.get_backend()));
    return;
  }
  soci::statement insert(session);
  std::vector<std::string> names;
  std::vector<std::string> values;
  for (const NamedColumn& column : columns_) {
    names.push_back(column.name);
    values.push_back(absl::StrCat(":c", names.size()));
    std::visit([&](const auto* of) { insert.exchange(soci::use(*of)); }, column.values);
  }
  insert.alloc();
  insert.prepare(absl::StrCat("INSERT INTO ", table_, " (", absl::StrJoin(names, ", "),
                              ") VALUES (", absl::StrJoin(values, ", "), ")"));
  insert.define_and_bind();
  insert.execute(true);
}

// By libpq itself: SOCI would prepare the statement, run it and drop it, a round trip each.
void BulkInsert::RunOnPostgres(soci::postgresql_session_backend& postgres) const {
  std::vector<std::string> names;
  std::vector<std::string> values;
  std::vector<std::string> arrays;
  for (const NamedColumn& column : columns_) {
    names.push_back(column.name);
    std::visit(
        [&](const auto* of) {
          values.push_back(absl::StrCat("CAST($", names.size(), " AS ", TypeOf(*of), "[])"));
          arrays.push_back(ArrayOf(*of));
        },
        column.values);
  }
  std::vector<const char*> parameters;
  parameters.reserve(arrays.size());
  for (const std::string& array : arrays) {
    parameters.push_back(array.c_str());
  }
  const std::string statement =
      absl::StrCat("INSERT INTO ", table_, " (", absl::StrJoin(names, ", "),
                   ") SELECT * FROM unnest(", absl::StrJoin(values, ", "), ")");
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(
      PQexecParams(postgres.conn_, statement.c_str(), static_cast<int>(parameters.size()), nullptr,
                   parameters.data(), nullptr, nullptr, /*resultFormat=*/0),
      &PQclear);
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    throw soci::postgresql_soci_error(PQerrorMessage(postgres.conn_),
                                      state == nullptr ? kNoState : state);
  }
}

}  // namespace fieldloop
