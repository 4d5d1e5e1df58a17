// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/sql/bulk_insert.h"

#include <utility>

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
  const bool in_arrays = session.get_backend_name() == "postgresql";
  soci::statement insert(session);
  std::vector<std::string> names;
  std::vector<std::string> values;
  std::vector<std::string> arrays;
  arrays.reserve(columns_.size());  // They are bound: none may move.
  for (const NamedColumn& column : columns_) {
    names.push_back(column.name);
    const std::string placeholder = absl::StrCat(":c", names.size());
    std::visit(
        [&](const auto* of) {
          if (in_arrays) {
            values.push_back(absl::StrCat("CAST(", placeholder, " AS ", TypeOf(*of), "[])"));
            arrays.push_back(ArrayOf(*of));
            insert.exchange(soci::use(arrays.back()));
          } else {
            values.push_back(placeholder);
            insert.exchange(soci::use(*of));
          }
        },
        column.values);
  }
  const std::string list = absl::StrJoin(values, ", ");
  insert.alloc();
  insert.prepare(absl::StrCat("INSERT INTO ", table_, " (", absl::StrJoin(names, ", "), ") ",
                              in_arrays ? absl::StrCat("SELECT * FROM unnest(", list, ")")
                                        : absl::StrCat("VALUES (", list, ")")));
  insert.define_and_bind();
  insert.execute(true);
}

}  // namespace fieldloop
