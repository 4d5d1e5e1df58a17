// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/csv_format.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/quality.h"
#include "services/ingestion/domain/text_rules.h"
#include "services/ingestion/formats/even_rate.h"

namespace fieldloop::ingestion {
namespace {

constexpr char kTimestamp[] = "timestamp";
constexpr char kLabel[] = "label";
constexpr char kByteOrderMark[] = "\xef\xbb\xbf";
// Beyond it a double does not hold whole microseconds.
constexpr double kMaxTimestampMs = 1e15;
constexpr std::size_t kMaxColumns = kMaxAxes + 2;
// Ranges of labels in one file. More are numbers in a column with the wrong name.
constexpr std::size_t kMaxLabelRanges = 10'000;

// Gives the lines of a text that are not empty one by one, without their ends.
class Lines {
 public:
  explicit Lines(absl::string_view text) : rest_(text) {}

  bool Next(absl::string_view& line) {
    while (!rest_.empty()) {
      ++number_;
      const std::size_t end = rest_.find('\n');
      line = absl::StripSuffix(rest_.substr(0, end), "\r");
      rest_.remove_prefix(end == absl::string_view::npos ? rest_.size() : end + 1);
      if (std::any_of(line.begin(), line.end(),
                      [](char c) { return !absl::ascii_isspace(static_cast<unsigned char>(c)); })) {
        return true;
      }
    }
    return false;
  }

  // Of the line that came last, counting from 1.
  [[nodiscard]] std::size_t number() const { return number_; }

 private:
  absl::string_view rest_;
  std::size_t number_ = 0;
};

absl::string_view StripBlanks(absl::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

// Gives the fields of a line one by one.
class Fields {
 public:
  Fields(absl::string_view line, char separator) : rest_(line), separator_(separator) {}

  bool Next(absl::string_view& field) {
    if (done_) {
      return false;
    }
    const std::size_t end = End();
    field = StripBlanks(rest_.substr(0, end));
    done_ = end == absl::string_view::npos;
    if (!done_) {
      rest_.remove_prefix(end + 1);
    }
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
      field = field.substr(1, field.size() - 2);
      if (absl::StrContains(field, "\"\"")) {
        unquoted_ = absl::StrReplaceAll(field, {{"\"\"", "\""}});
        field = unquoted_;
      }
    }
    return true;
  }

 private:
  // Where the separator behind the first field is; one between quotes is none.
  [[nodiscard]] std::size_t End() const {
    const std::size_t start = rest_.find_first_not_of(' ');
    if (start == absl::string_view::npos || rest_[start] != '"') {
      return rest_.find(separator_);
    }
    bool quoted = false;
    for (std::size_t i = start; i < rest_.size(); ++i) {
      quoted = quoted != (rest_[i] == '"');
      if (!quoted && rest_[i] == separator_) {
        return i;
      }
    }
    return absl::string_view::npos;
  }

  absl::string_view rest_;
  char separator_;
  bool done_ = false;
  std::string unquoted_;
};

std::string Line(std::size_t number) { return absl::StrCat("line ", number); }

std::string Cell(std::size_t line, absl::string_view column) {
  return absl::StrCat("line ", line, ", column ", Quoted(column));
}

// The one separator that stands in the header outside of quotes; a comma if there is none.
absl::StatusOr<char> SeparatorOf(absl::string_view header) {
  constexpr absl::string_view kSeparators = ",;\t";
  std::string found;
  bool quoted = false;
  for (const char c : header) {
    quoted = quoted != (c == '"');
    if (!quoted && absl::StrContains(kSeparators, c) && !absl::StrContains(found, c)) {
      found += c;
    }
  }
  if (found.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("line 1: got ", Quoted(header),
                     ", want one kind of separator: commas, semicolons or tabs"));
  }
  return found.empty() ? ',' : found.front();
}

struct Header {
  std::size_t columns = 0;
  std::optional<std::size_t> time_column;
  std::optional<std::size_t> label_column;
  std::vector<std::string> axes;  // Names of the other columns, in order.
};

absl::StatusOr<Header> ParseHeader(absl::string_view line, char separator) {
  Header header;
  Fields fields(line, separator);
  absl::string_view field;
  bool all_numbers = true;
  double value = 0;
  for (; fields.Next(field); ++header.columns) {
    if (header.columns == kMaxColumns) {
      return absl::InvalidArgumentError(
          absl::StrCat("line 1: got more than ", kMaxAxes, " axes, want at most ", kMaxAxes));
    }
    const bool is_number = absl::SimpleAtod(field, &value);
    all_numbers = all_numbers && is_number;
    const bool is_time = absl::EqualsIgnoreCase(field, kTimestamp);
    if (!is_time && !absl::EqualsIgnoreCase(field, kLabel)) {
      header.axes.emplace_back(field);
      continue;
    }
    std::optional<std::size_t>& column = is_time ? header.time_column : header.label_column;
    if (column.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "line 1, column ", header.columns + 1, ": got ", Quoted(field), " again, want it once"));
    }
    column = header.columns;
  }
  if (all_numbers) {
    return absl::InvalidArgumentError(
        absl::StrCat("line 1: got ", Quoted(line), ", want a header line with the column names"));
  }
  if (header.axes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "line 1: got ", Quoted(line), ", want at least one column beside timestamp and label"));
  }
  if (const absl::Status status = ValidateAxes("columns", header.axes); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("line 1: ", status.message()));
  }
  return header;
}

// Reads a number, with a decimal comma where the comma separates nothing.
bool ReadNumber(absl::string_view field, char separator, double& value) {
  if (absl::SimpleAtod(field, &value)) {
    return true;
  }
  if (separator == ',' || std::count(field.begin(), field.end(), ',') != 1 ||
      absl::StrContains(field, '.')) {
    return false;
  }
  return absl::SimpleAtod(absl::StrReplaceAll(field, {{",", "."}}), &value);
}

// What a file's rows are read into.
class Rows {
 public:
  Rows(const Header& header, char separator) : header_(header), separator_(separator) {}

  absl::Status Add(absl::string_view line, std::size_t number) {
    if (!header_.time_column.has_value() && !lines_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          Line(number), ": got a second row, want one row, or a column \"timestamp\""));
    }
    lines_.push_back(static_cast<std::uint32_t>(number));
    Fields fields(line, separator_);
    absl::string_view field;
    std::size_t axis = 0;
    std::size_t column = 0;
    for (; fields.Next(field); ++column) {
      if (column == header_.columns) {
        return absl::InvalidArgumentError(absl::StrCat(Line(number), ": got more than ",
                                                       header_.columns, " fields, want ",
                                                       header_.columns, " as in the header"));
      }
      if (column == header_.time_column) {
        FIELDLOOP_RETURN_IF_ERROR(AddTime(field));
      } else if (column == header_.label_column) {
        FIELDLOOP_RETURN_IF_ERROR(AddLabel(field));
      } else {
        FIELDLOOP_RETURN_IF_ERROR(AddValue(field, header_.axes[axis++]));
      }
    }
    if (column != header_.columns) {
      return absl::InvalidArgumentError(absl::StrCat(
          Line(number), ": got ", column, " fields, want ", header_.columns, " as in the header"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ParsedRecording> Finish(const ParseOptions& options) && {
    ParsedRecording recording;
    recording.axes = header_.axes;
    recording.values = std::move(values_);
    recording.labels = std::move(labels_);
    CheckReadings(recording.axes, std::nullopt, recording.values, recording.flags);
    if (!header_.time_column.has_value()) {
      recording.readings = 1;
      return recording;
    }
    FIELDLOOP_RETURN_IF_ERROR(MakeEven(
        std::move(times_ms_), options.frequency_hz,
        [this](std::size_t reading) { return Cell(lines_[reading], kTimestamp); }, recording));
    return recording;
  }

 private:
  absl::Status AddTime(absl::string_view field) {
    double time_ms = 0;
    if (!ReadNumber(field, separator_, time_ms) || !(std::abs(time_ms) <= kMaxTimestampMs)) {
      return absl::InvalidArgumentError(absl::StrCat(Cell(lines_.back(), kTimestamp), ": got ",
                                                     Quoted(field), ", want milliseconds between -",
                                                     kMaxTimestampMs, " and ", kMaxTimestampMs));
    }
    if (!times_ms_.empty() && time_ms < times_ms_.back()) {
      return absl::InvalidArgumentError(absl::StrCat(Cell(lines_.back(), kTimestamp), ": got ",
                                                     Quoted(field),
                                                     ", want no less than in the row before"));
    }
    times_ms_.push_back(time_ms);
    return absl::OkStatus();
  }

  absl::Status AddLabel(absl::string_view field) {
    const auto reading = static_cast<std::int64_t>(lines_.size()) - 1;
    if (field.empty()) {
      return absl::OkStatus();
    }
    if (!labels_.empty() && labels_.back().end == reading - 1 && labels_.back().label == field) {
      labels_.back().end = reading;
      return absl::OkStatus();
    }
    FIELDLOOP_RETURN_IF_ERROR(ValidateLabelText(Cell(lines_.back(), kLabel), field));
    if (labels_.size() == kMaxLabelRanges) {
      return absl::InvalidArgumentError(absl::StrCat(Cell(lines_.back(), kLabel),
                                                     ": got more than ", kMaxLabelRanges,
                                                     " changes of the label"));
    }
    labels_.push_back({.start = reading, .end = reading, .label = std::string(field)});
    return absl::OkStatus();
  }

  absl::Status AddValue(absl::string_view field, absl::string_view axis) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (!field.empty() && !ReadNumber(field, separator_, value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Cell(lines_.back(), axis), ": got ", Quoted(field), ", want a number"));
    }
    constexpr double kLargest = std::numeric_limits<float>::max();
    if (std::isfinite(value) && std::abs(value) > kLargest) {
      return absl::InvalidArgumentError(absl::StrCat(Cell(lines_.back(), axis), ": got ",
                                                     Quoted(field), ", want a number between -",
                                                     kLargest, " and ", kLargest));
    }
    values_.push_back(static_cast<float>(value));
    return absl::OkStatus();
  }

  const Header& header_;
  const char separator_;
  std::vector<std::uint32_t> lines_;  // Of each row.
  std::vector<double> times_ms_;
  std::vector<float> values_;
  std::vector<LabelRange> labels_;  // By row.
};

}  // namespace

absl::StatusOr<ParsedRecording> ParseCsv(absl::string_view bytes, const ParseOptions& options) {
  if (absl::StartsWith(bytes, "\xff\xfe") || absl::StartsWith(bytes, "\xfe\xff")) {
    return absl::InvalidArgumentError("line 1: got UTF-16, want UTF-8");
  }
  Lines lines(absl::StripPrefix(bytes, kByteOrderMark));
  absl::string_view line;
  if (!lines.Next(line)) {
    return absl::InvalidArgumentError("line 1: got an empty file, want a header line");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const char separator, SeparatorOf(line));
  FIELDLOOP_ASSIGN_OR_RETURN(const Header header, ParseHeader(line, separator));
  Rows rows(header, separator);
  std::size_t last_line = lines.number();
  bool any = false;
  while (lines.Next(line)) {
    any = true;
    last_line = lines.number();
    FIELDLOOP_RETURN_IF_ERROR(rows.Add(line, last_line));
  }
  if (!any) {
    return absl::InvalidArgumentError(
        absl::StrCat(Line(last_line + 1), ": got the end of the file, want a row of numbers"));
  }
  return std::move(rows).Finish(options);
}

}  // namespace fieldloop::ingestion
