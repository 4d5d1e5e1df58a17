// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/multipart_reader.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMaxBoundaryBytes = 70;
constexpr std::size_t kMaxHeaderBytes = 16 << 10;

absl::Status NotMultipart(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the body is no multipart/form-data: ", what));
}

// The value of a parameter such as filename="a b.csv", with or without quotes, of a header's value.
std::optional<std::string> Parameter(absl::string_view value, absl::string_view name) {
  value.remove_prefix(std::min(value.find(';'), value.size()));
  while (!value.empty()) {
    value = absl::StripLeadingAsciiWhitespace(value.substr(1));
    const std::size_t equals = std::min(value.find_first_of("=;"), value.size());
    const absl::string_view key = absl::StripTrailingAsciiWhitespace(value.substr(0, equals));
    value.remove_prefix(equals);
    std::string content;
    if (absl::ConsumePrefix(&value, "=\"")) {
      while (!value.empty() && value.front() != '"') {
        // In quotes a backslash escapes a quote or itself; elsewhere it belongs to a path.
        if (value.size() > 1 && value[0] == '\\' && (value[1] == '"' || value[1] == '\\')) {
          value.remove_prefix(1);
        }
        content += value.front();
        value.remove_prefix(1);
      }
      value.remove_prefix(std::min(value.find(';'), value.size()));
    } else if (absl::ConsumePrefix(&value, "=")) {
      const std::size_t end = std::min(value.find(';'), value.size());
      content = std::string(absl::StripAsciiWhitespace(value.substr(0, end)));
      value.remove_prefix(end);
    }
    if (absl::EqualsIgnoreCase(key, name)) {
      return content;
    }
  }
  return std::nullopt;
}

// "UTF-8''a%20b.csv" of RFC 5987.
std::string DecodeExtended(absl::string_view value) {
  const std::size_t quote = value.rfind('\'');
  value.remove_prefix(quote == absl::string_view::npos ? 0 : quote + 1);
  std::string decoded;
  while (!value.empty()) {
    std::uint32_t code = 0;
    if (value.front() == '%' && value.size() >= 3 &&
        absl::SimpleHexAtoi(value.substr(1, 2), &code)) {
      decoded += static_cast<char>(code);
      value.remove_prefix(3);
    } else {
      decoded += value.front();
      value.remove_prefix(1);
    }
  }
  return decoded;
}

std::string FileNameOf(absl::string_view headers) {
  for (absl::string_view line : absl::StrSplit(headers, "\r\n")) {
    const std::size_t colon = std::min(line.find(':'), line.size());
    if (!absl::EqualsIgnoreCase(line.substr(0, colon), "Content-Disposition")) {
      continue;
    }
    line.remove_prefix(colon);
    if (const std::optional<std::string> extended = Parameter(line, "filename*")) {
      return DecodeExtended(*extended);
    }
    return Parameter(line, "filename").value_or("");
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> MultipartReader::BoundaryOf(absl::string_view content_type) {
  const std::string boundary = Parameter(content_type, "boundary").value_or("");
  if (!absl::StartsWithIgnoreCase(content_type, "multipart/form-data") || boundary.empty() ||
      boundary.size() > kMaxBoundaryBytes) {
    return absl::InvalidArgumentError(
        "Content-Type: want multipart/form-data with a boundary of 1 to 70 bytes");
  }
  return boundary;
}

MultipartReader::MultipartReader(const std::string& boundary, Parts parts)
    : delimiter_(absl::StrCat("\r\n--", boundary)),
      parts_(std::move(parts)),
      // The first boundary may be the first bytes of the body.
      pending_("\r\n") {}

absl::Status MultipartReader::Append(absl::string_view data) {
  pending_.append(data.data(), data.size());
  absl::string_view rest = pending_;
  bool took = true;
  while (took && state_ != State::kEpilogue) {
    switch (state_) {
      case State::kPreamble:
      case State::kContent: {
        FIELDLOOP_ASSIGN_OR_RETURN(took, TakeContent(rest));
        break;
      }
      case State::kAfterBoundary: {
        FIELDLOOP_ASSIGN_OR_RETURN(took, TakeAfterBoundary(rest));
        break;
      }
      case State::kHeaders: {
        FIELDLOOP_ASSIGN_OR_RETURN(took, TakeHeaders(rest));
        break;
      }
      case State::kEpilogue:
        break;
    }
  }
  if (state_ == State::kEpilogue) {
    rest = {};  // Whatever follows the last boundary is of no meaning.
  }
  pending_.erase(0, pending_.size() - rest.size());
  return absl::OkStatus();
}

absl::Status MultipartReader::Finish() const {
  return state_ == State::kEpilogue ? absl::OkStatus()
                                    : NotMultipart("it ends before its last boundary");
}

absl::StatusOr<bool> MultipartReader::TakeContent(absl::string_view& rest) {
  const std::size_t found = rest.find(delimiter_);
  const bool whole = found != absl::string_view::npos;
  // The last bytes may be the beginning of a boundary.
  const std::size_t size =
      whole ? found : rest.size() - std::min(rest.size(), delimiter_.size() - 1);
  if (state_ == State::kContent && size > 0) {
    FIELDLOOP_RETURN_IF_ERROR(parts_.data(rest.substr(0, size)));
  }
  rest.remove_prefix(whole ? found + delimiter_.size() : size);
  if (whole) {
    state_ = State::kAfterBoundary;
  }
  return whole;
}

absl::StatusOr<bool> MultipartReader::TakeAfterBoundary(absl::string_view& rest) {
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) {
    rest.remove_prefix(1);
  }
  if (rest.size() < 2) {
    return false;
  }
  if (absl::ConsumePrefix(&rest, "--")) {
    state_ = State::kEpilogue;
  } else if (absl::StartsWith(rest, "\r\n")) {  // Kept: without headers it is the first of two.
    state_ = State::kHeaders;
  } else {
    return NotMultipart("a boundary is followed by neither a line end nor \"--\"");
  }
  return true;
}

absl::StatusOr<bool> MultipartReader::TakeHeaders(absl::string_view& rest) {
  const std::size_t end = rest.find("\r\n\r\n");
  if (std::min(end, rest.size()) > kMaxHeaderBytes) {
    return NotMultipart(
        absl::StrCat("a part's headers have more than ", kMaxHeaderBytes, " bytes"));
  }
  if (end == absl::string_view::npos) {
    return false;
  }
  FIELDLOOP_RETURN_IF_ERROR(parts_.begin(FileNameOf(rest.substr(0, end))));
  rest.remove_prefix(end + 4);
  state_ = State::kContent;
  return true;
}

}  // namespace fieldloop::ingestion
