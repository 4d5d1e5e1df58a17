// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/client/output.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <unistd.h>

#include <google/protobuf/util/json_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

namespace fieldloop::cli {

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (google::protobuf::util::MessageToJsonString(message, &text, options).ok()) {
    std::cout << text << std::endl;  // Flushed: a script may be following.
  }
}

void Table::Print(absl::string_view empty) const {
  if (rows_.empty()) {
    std::cout << empty << "\n";
    return;
  }
  std::vector<std::size_t> widths;
  for (const std::string& title : header_) {
    widths.push_back(title.size());
  }
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  const auto print = [&widths](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const bool last = i + 1 == cells.size();
      absl::StrAppendFormat(&line, "%-*s", last ? 0 : static_cast<int>(widths[i] + 2), cells[i]);
    }
    std::cout << line << "\n";
  };
  print(header_);
  for (const auto& row : rows_) {
    print(row);
  }
}

void PrintRecord(const Client& client, const google::protobuf::Message& message,
                 const std::vector<std::pair<std::string, std::string>>& pairs) {
  if (client.json()) {
    PrintJson(message);
    return;
  }
  std::size_t width = 0;
  for (const auto& [name, value] : pairs) {
    width = std::max(width, name.size());
  }
  for (const auto& [name, value] : pairs) {
    if (!value.empty()) {
      std::cout << absl::StrFormat("%-*s  %s\n", static_cast<int>(width), name, value);
    }
  }
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) {
    return "";
  }
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string SizeText(std::int64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {"B", "KB", "MB", "GB"};
  auto size = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (size >= 1000 && unit + 1 < kUnits.size()) {
    size /= 1000;
    ++unit;
  }
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", size, kUnits[unit]);
}

std::string NumberText(double value, int digits) { return absl::StrFormat("%.*f", digits, value); }

std::string ShortName(absl::string_view name) {
  const std::size_t slash = name.rfind('/');
  return std::string(slash == absl::string_view::npos ? name : name.substr(slash + 1));
}

std::string StateText(const std::string& value_name, absl::string_view prefix) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(absl::StripPrefix(value_name, prefix)),
                             {{"_", " "}});
}

ProgressLine::~ProgressLine() {
  if (open_) {
    std::cout << "\n";
  }
}

void ProgressLine::Show(const std::string& line) {
  if (line == last_) {
    return;
  }
  last_ = line;
  if (::isatty(STDOUT_FILENO) == 1) {
    std::cout << "\r\033[K" << line << std::flush;
    open_ = true;
  } else {
    std::cout << line << std::endl;
  }
}

}  // namespace fieldloop::cli
