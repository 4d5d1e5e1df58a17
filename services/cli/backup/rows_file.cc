// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/rows_file.h"

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

using nlohmann::json;

constexpr std::int64_t kPieceBytes = 1 << 20;
constexpr char kBase64[] = "base64";

json JsonOf(const TableValue& value, bool escape_text) {
  if (const auto* text = std::get_if<std::string>(&value); text != nullptr) {
    return escape_text ? json{{kBase64, absl::Base64Escape(*text)}} : json(*text);
  }
  if (const auto* integer = std::get_if<std::int64_t>(&value); integer != nullptr) {
    return *integer;
  }
  if (const auto* real = std::get_if<double>(&value); real != nullptr) {
    if (std::isfinite(*real)) {
      return *real;
    }
    return std::isnan(*real) ? "NaN" : (*real > 0 ? "Infinity" : "-Infinity");
  }
  return nullptr;
}

// Nothing if it does not fit the type.
std::optional<TableValue> ValueOf(const json& value, ColumnType type) {
  if (value.is_null()) {
    return TableValue(std::monostate());
  }
  switch (type) {
    case ColumnType::kText: {
      if (value.is_string()) {
        return TableValue(value.get<std::string>());
      }
      std::string text;
      if (value.is_object() && value.contains(kBase64) && value[kBase64].is_string() &&
          absl::Base64Unescape(value[kBase64].get<std::string>(), &text)) {
        return TableValue(std::move(text));
      }
      return std::nullopt;
    }
    case ColumnType::kInteger:
      return value.is_number_integer() ? std::optional(TableValue(value.get<std::int64_t>()))
                                       : std::nullopt;
    case ColumnType::kReal:
      if (value.is_number()) {
        return TableValue(value.get<double>());
      }
      if (value == "NaN") {
        return TableValue(std::numeric_limits<double>::quiet_NaN());
      }
      if (value == "Infinity" || value == "-Infinity") {
        const double infinity = std::numeric_limits<double>::infinity();
        return TableValue(value == "Infinity" ? infinity : -infinity);
      }
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<TableShape> TableOf(const json& header) {
  if (!header.is_object() || !header.contains("table") || !header["table"].is_string() ||
      !header.contains("columns") || !header["columns"].is_array() || header["columns"].empty()) {
    return std::nullopt;
  }
  TableShape table{.name = header["table"].get<std::string>(), .columns = {}, .key = {}};
  for (const json& column : header["columns"]) {
    if (!column.is_array() || column.size() != 2 || !column[0].is_string()) {
      return std::nullopt;
    }
    bool known = false;
    for (const ColumnType type : {ColumnType::kText, ColumnType::kInteger, ColumnType::kReal}) {
      if (column[1] == std::string(NameOf(type))) {
        table.columns.push_back({.name = column[0].get<std::string>(), .type = type});
        known = true;
      }
    }
    if (!known) {
      return std::nullopt;
    }
  }
  return table;
}

// Takes the file apart line by line.
class Reader {
 public:
  Reader(absl::FunctionRef<absl::Status(const TableShape&)> on_table,
         absl::FunctionRef<absl::Status(TableRow)> sink)
      : on_table_(on_table), sink_(sink) {}

  absl::Status Add(absl::string_view piece) {
    while (true) {
      const std::size_t end = piece.find('\n');
      if (end == absl::string_view::npos) {
        held_.append(piece.data(), piece.size());
        return absl::OkStatus();
      }
      held_.append(piece.data(), end);
      piece.remove_prefix(end + 1);
      FIELDLOOP_RETURN_IF_ERROR(Line());
      held_.clear();
    }
  }

  absl::StatusOr<std::int64_t> Finish() const {
    if (!held_.empty() || !table_.has_value()) {
      return absl::DataLossError("the last line is not whole");
    }
    return rows_;
  }

 private:
  absl::Status Line() {
    const json line = json::parse(held_, nullptr, /*allow_exceptions=*/false);
    if (!table_.has_value()) {
      table_ = TableOf(line);
      return table_.has_value() ? on_table_(*table_)
                                : absl::DataLossError("the first line names no table");
    }
    ++rows_;
    TableRow row;
    row.reserve(table_->columns.size());
    for (std::size_t i = 0; line.is_array() && i < line.size() && i < table_->columns.size(); ++i) {
      std::optional<TableValue> value = ValueOf(line[i], table_->columns[i].type);
      if (!value.has_value()) {
        break;
      }
      row.push_back(*std::move(value));
    }
    if (row.size() != table_->columns.size() || line.size() != row.size()) {
      return absl::DataLossError(
          absl::StrCat("row ", rows_, " of ", table_->name, " does not fit its columns"));
    }
    return sink_(std::move(row));
  }

  const absl::FunctionRef<absl::Status(const TableShape&)> on_table_;
  const absl::FunctionRef<absl::Status(TableRow)> sink_;
  std::string held_;
  std::optional<TableShape> table_;
  std::int64_t rows_ = 0;
};

}  // namespace

std::string HeaderLine(const TableShape& table) {
  json columns = json::array();
  for (const TableColumn& column : table.columns) {
    columns.push_back(json::array({column.name, std::string(NameOf(column.type))}));
  }
  return json{{"table", table.name}, {"columns", columns}}.dump() + "\n";
}

std::string RowLine(const TableShape& table, const TableRow& row) {
  std::string line = "[";
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    absl::StrAppend(&line, i == 0 ? "" : ",");
    try {
      absl::StrAppend(&line, JsonOf(row[i], /*escape_text=*/false).dump());
    } catch (const json::exception&) {  // The text is not UTF-8.
      absl::StrAppend(&line, JsonOf(row[i], /*escape_text=*/true).dump());
    }
  }
  return line + "]\n";
}

absl::StatusOr<std::int64_t> ReadRowsFile(
    BlobStore& store, const std::string& digest,
    absl::FunctionRef<absl::Status(const TableShape&)> on_table,
    absl::FunctionRef<absl::Status(TableRow)> sink) {
  Reader reader(on_table, sink);
  const absl::Status read =
      store.Read(digest, kPieceBytes, [&](absl::string_view piece) { return reader.Add(piece); });
  if (absl::IsNotFound(read)) {
    return absl::DataLossError(absl::StrCat(digest, " is missing"));
  }
  FIELDLOOP_RETURN_IF_ERROR(read);
  return reader.Finish();
}

}  // namespace fieldloop::cli
