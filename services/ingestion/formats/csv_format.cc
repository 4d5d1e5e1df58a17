// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/csv_format.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"
#include "services/ingestion/formats/even_rate.h"

namespace fieldloop::ingestion {
namespace {

constexpr char kTimestamp[] = "timestamp";
constexpr char kByteOrderMark[] = "\xef\xbb\xbf";
// Beyond it a double does not hold whole microseconds.
constexpr double kMaxTimestampMs = 1e15;
constexpr std::size_t kFirstRowLine = 2;

// Gives the lines of a text one by one, without their ends and without empty ones at the end.
class Lines {
 public:
  explicit Lines(absl::string_view text) : rest_(text) {
    while (!rest_.empty() && absl::ascii_isspace(static_cast<unsigned char>(rest_.back()))) {
      rest_.remove_suffix(1);
    }
  }

  bool Next(absl::string_view& line) {
    if (rest_.empty()) {
      return false;
    }
    const std::size_t end = rest_.find('\n');
    line = rest_.substr(0, end);
    rest_.remove_prefix(end == absl::string_view::npos ? rest_.size() : end + 1);
    if (!line.empty() && line.back() == '\r') {
      line.remove_suffix(1);
    }
    return true;
  }

 private:
  absl::string_view rest_;
};

// Gives the fields of a line one by one.
class Fields {
 public:
  explicit Fields(absl::string_view line) : rest_(line) {}

  bool Next(absl::string_view& field) {
    if (done_) {
      return false;
    }
    const std::size_t end = rest_.find(',');
    field = absl::StripAsciiWhitespace(rest_.substr(0, end));
    done_ = end == absl::string_view::npos;
    if (!done_) {
      rest_.remove_prefix(end + 1);
    }
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
      field = field.substr(1, field.size() - 2);
    }
    return true;
  }

 private:
  absl::string_view rest_;
  bool done_ = false;
};

std::string Line(std::size_t number) { return absl::StrCat("line ", number); }

std::string Cell(std::size_t line, absl::string_view column) {
  return absl::StrCat("line ", line, ", column ", Quoted(column));
}

struct Header {
  bool has_time = false;
  std::vector<std::string> axes;
};

absl::StatusOr<Header> ParseHeader(absl::string_view line) {
  Header header;
  Fields fields(line);
  absl::string_view field;
  std::size_t number = 0;
  bool all_numbers = true;
  double value = 0;
  while (fields.Next(field)) {
    ++number;
    if (absl::EqualsIgnoreCase(field, kTimestamp)) {
      if (number != 1) {
        return absl::InvalidArgumentError(absl::StrCat(
            "line 1, column ", number, ": got ", Quoted(field), ", want it as the first column"));
      }
      header.has_time = true;
      all_numbers = false;
      continue;
    }
    if (number > static_cast<std::size_t>(kMaxAxes) + 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("line 1: got more than ", kMaxAxes, " axes, want at most ", kMaxAxes));
    }
    all_numbers = all_numbers && absl::SimpleAtod(field, &value);
    header.axes.emplace_back(field);
  }
  if (all_numbers) {
    return absl::InvalidArgumentError(
        absl::StrCat("line 1: got ", Quoted(line), ", want a header line with the column names"));
  }
  if (header.axes.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("line 1: got ", Quoted(line), ", want at least one column beside timestamp"));
  }
  if (const absl::Status status = ValidateAxes("columns", header.axes); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("line 1: ", status.message()));
  }
  return header;
}

absl::StatusOr<double> ParseNumber(absl::string_view field, std::size_t line,
                                   absl::string_view column, double limit) {
  double value = 0;
  if (!absl::SimpleAtod(field, &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Cell(line, column), ": got ", Quoted(field), ", want a number"));
  }
  if (!(std::abs(value) <= limit)) {  // Also true for what is not a number.
    return absl::InvalidArgumentError(absl::StrCat(Cell(line, column), ": got ", Quoted(field),
                                                   ", want a number between -", limit, " and ",
                                                   limit));
  }
  return value;
}

}  // namespace

absl::StatusOr<ParsedRecording> ParseCsv(absl::string_view bytes) {
  if (absl::StartsWith(bytes, kByteOrderMark)) {
    bytes.remove_prefix(sizeof(kByteOrderMark) - 1);
  }
  Lines lines(bytes);
  absl::string_view line;
  if (!lines.Next(line)) {
    return absl::InvalidArgumentError("line 1: got an empty file, want a header line");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(Header header, ParseHeader(line));
  const std::size_t columns = header.axes.size() + (header.has_time ? 1 : 0);

  std::vector<double> times_ms;
  std::vector<float> values;
  std::size_t number = 1;
  while (lines.Next(line)) {
    ++number;
    if (!header.has_time && number > kFirstRowLine) {
      return absl::InvalidArgumentError(absl::StrCat(
          Line(number), ": got a second row, want one row, or a first column \"timestamp\""));
    }
    Fields fields(line);
    absl::string_view field;
    std::size_t column = 0;
    while (fields.Next(field)) {
      if (column == columns) {
        return absl::InvalidArgumentError(absl::StrCat(Line(number), ": got more than ", columns,
                                                       " fields, want ", columns,
                                                       " as in the header"));
      }
      if (header.has_time && column == 0) {
        FIELDLOOP_ASSIGN_OR_RETURN(const double time,
                                   ParseNumber(field, number, kTimestamp, kMaxTimestampMs));
        if (!times_ms.empty() && time <= times_ms.back()) {
          return absl::InvalidArgumentError(absl::StrCat(Cell(number, kTimestamp), ": got ",
                                                         Quoted(field),
                                                         ", want more than in the line before"));
        }
        times_ms.push_back(time);
      } else {
        const std::string& axis = header.axes[column - (header.has_time ? 1 : 0)];
        FIELDLOOP_ASSIGN_OR_RETURN(
            const double value,
            ParseNumber(field, number, axis, std::numeric_limits<float>::max()));
        values.push_back(static_cast<float>(value));
      }
      ++column;
    }
    if (column != columns) {
      return absl::InvalidArgumentError(absl::StrCat(
          Line(number), ": got ", column, " fields, want ", columns, " as in the header"));
    }
  }
  if (values.empty()) {
    return absl::InvalidArgumentError("line 2: got the end of the file, want a row of numbers");
  }
  if (!header.has_time) {
    times_ms.push_back(0);
  }
  ParsedRecording recording;
  recording.axes = std::move(header.axes);
  FIELDLOOP_RETURN_IF_ERROR(MakeEven(
      times_ms, std::move(values),
      [](std::size_t reading) { return Cell(reading + kFirstRowLine, kTimestamp); }, recording));
  return recording;
}

}  // namespace fieldloop::ingestion
