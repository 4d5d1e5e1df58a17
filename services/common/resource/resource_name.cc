// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/resource/resource_name.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace fieldloop {
namespace {

constexpr std::size_t kMaxSegment = 63;
constexpr std::size_t kMinId = 2;
constexpr std::size_t kMaxId = 39;
constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;
constexpr char kPageTokenMark = 'f';

bool IsSegment(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxSegment &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
                  c == '-';
         });
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseResourceName(absl::string_view field,
                                                           absl::string_view pattern,
                                                           absl::string_view name) {
  const std::vector<absl::string_view> want = absl::StrSplit(pattern, '/');
  const std::vector<absl::string_view> got = absl::StrSplit(name, '/');
  std::vector<std::string> stars;
  bool matches = want.size() == got.size();
  for (std::size_t i = 0; matches && i < want.size(); ++i) {
    if (want[i] == "*") {
      matches = IsSegment(got[i]);
      stars.emplace_back(got[i]);
    } else {
      matches = want[i] == got[i];
    }
  }
  if (!matches) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": got \"", absl::CHexEscape(name.substr(0, 200)), "\", want ", pattern));
  }
  return stars;
}

absl::StatusOr<std::string> ProjectOf(absl::string_view resource) {
  if (resource.empty()) {
    return std::string();
  }
  const std::vector<absl::string_view> segments = absl::StrSplit(resource, '/');
  if (segments.size() < 2 || segments[0] != "projects" || !IsSegment(segments[1])) {
    return absl::InvalidArgumentError(absl::StrCat(
        "name: got \"", absl::CHexEscape(resource.substr(0, 200)), "\", want projects/..."));
  }
  return absl::StrCat(segments[0], "/", segments[1]);
}

absl::Status ValidateId(absl::string_view field, absl::string_view id) {
  const bool good = id.size() >= kMinId && id.size() <= kMaxId &&
                    absl::ascii_islower(static_cast<unsigned char>(id.front())) &&
                    std::all_of(id.begin(), id.end(), [](char c) {
                      return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                             absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-';
                    });
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got \"", absl::CHexEscape(id.substr(0, 80)),
                     "\", want 2 to 39 characters of [a-z0-9-] that start with a letter"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size: got ", requested, ", want 0 to ", kMaxPageSize));
  }
  return requested == 0 ? kDefaultPageSize : std::min(requested, kMaxPageSize);
}

std::string EncodePageToken(absl::string_view key) {
  return absl::WebSafeBase64Escape(absl::StrCat(std::string(1, kPageTokenMark), key));
}

absl::StatusOr<std::string> DecodePageToken(absl::string_view token) {
  if (token.empty()) {
    return std::string();
  }
  std::string key;
  if (!absl::WebSafeBase64Unescape(token, &key) || key.empty() || key.front() != kPageTokenMark) {
    return absl::InvalidArgumentError(
        "page_token: want next_page_token of the page before, or nothing");
  }
  return key.substr(1);
}

}  // namespace fieldloop
