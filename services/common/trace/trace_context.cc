// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/trace/trace_context.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace fieldloop {
namespace {

// "00-" 32 "-" 16 "-" 2.
constexpr std::size_t kTraceIdAt = 3;
constexpr std::size_t kTraceIdDigits = 32;
constexpr std::size_t kSpanIdAt = 36;
constexpr std::size_t kSpanIdDigits = 16;
constexpr std::size_t kFlagsAt = 53;
constexpr std::size_t kLength = 55;

constexpr std::size_t kMaxMembers = 32;
constexpr std::size_t kMaxStateBytes = 512;
constexpr std::size_t kLongMemberBytes = 128;
constexpr std::size_t kMaxKeyBytes = 256;
constexpr std::size_t kMaxTenantBytes = 241;
constexpr std::size_t kMaxSystemBytes = 14;
constexpr std::size_t kMaxValueBytes = 256;

bool IsLowerHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
  });
}

bool IsZero(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '0'; });
}

bool IsKeyPart(absl::string_view text, std::size_t max_bytes, bool digit_first) {
  if (text.empty() || text.size() > max_bytes) {
    return false;
  }
  const auto first = static_cast<unsigned char>(text.front());
  if (!absl::ascii_islower(first) && !(digit_first && absl::ascii_isdigit(first))) {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) || c == '_' || c == '-' ||
           c == '*' || c == '/';
  });
}

bool IsKey(absl::string_view text) {
  const std::size_t at = text.find('@');
  if (at == absl::string_view::npos) {
    return IsKeyPart(text, kMaxKeyBytes, /*digit_first=*/false);
  }
  return IsKeyPart(text.substr(0, at), kMaxTenantBytes, /*digit_first=*/true) &&
         IsKeyPart(text.substr(at + 1), kMaxSystemBytes, /*digit_first=*/false);
}

bool IsValue(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxValueBytes && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != ',' && c != '='; });
}

std::size_t JoinedBytes(const std::vector<absl::string_view>& members) {
  std::size_t bytes = members.empty() ? 0 : members.size() - 1;
  for (const absl::string_view member : members) {
    bytes += member.size();
  }
  return bytes;
}

std::uint64_t RandomBits() {
  thread_local absl::BitGen random;
  return absl::Uniform<std::uint64_t>(random);
}

std::string SixteenDigits(std::uint64_t bits) {
  return absl::StrCat(absl::Hex(bits, absl::kZeroPad16));
}

}  // namespace

std::optional<TraceContext> ParseTraceparent(absl::string_view header) {
  if (header.size() < kLength || header[2] != '-' || header[kSpanIdAt - 1] != '-' ||
      header[kFlagsAt - 1] != '-') {
    return std::nullopt;
  }
  const absl::string_view version = header.substr(0, 2);
  // A later version may say more, behind another dash.
  const bool length_fits = version == "00" ? header.size() == kLength
                                           : header.size() == kLength || header[kLength] == '-';
  const absl::string_view trace_id = header.substr(kTraceIdAt, kTraceIdDigits);
  const absl::string_view span_id = header.substr(kSpanIdAt, kSpanIdDigits);
  const absl::string_view flags = header.substr(kFlagsAt, 2);
  if (!IsLowerHex(version) || version == "ff" || !length_fits || !IsLowerHex(trace_id) ||
      IsZero(trace_id) || !IsLowerHex(span_id) || IsZero(span_id) || !IsLowerHex(flags)) {
    return std::nullopt;
  }
  const char last = flags[1];
  const int low = last <= '9' ? last - '0' : last - 'a' + 10;
  return TraceContext{.trace_id = std::string(trace_id),
                      .span_id = std::string(span_id),
                      .sampled = (low & 1) != 0,
                      .state = ""};
}

std::string FormatTraceparent(const TraceContext& trace) {
  return absl::StrCat("00-", trace.trace_id, "-", trace.span_id, trace.sampled ? "-01" : "-00");
}

std::string PassOnTracestate(absl::string_view header) {
  std::vector<absl::string_view> members;
  std::vector<absl::string_view> keys;
  for (const absl::string_view part : absl::StrSplit(header, ',')) {
    const absl::string_view member = absl::StripAsciiWhitespace(part);
    if (member.empty()) {
      continue;
    }
    const std::size_t equals = member.find('=');
    if (equals == absl::string_view::npos || !IsKey(member.substr(0, equals)) ||
        !IsValue(member.substr(equals + 1))) {
      return "";
    }
    members.push_back(member);
    keys.push_back(member.substr(0, equals));
  }
  std::sort(keys.begin(), keys.end());
  if (members.size() > kMaxMembers || std::adjacent_find(keys.begin(), keys.end()) != keys.end()) {
    return "";
  }
  for (std::size_t i = members.size(); i-- > 0 && JoinedBytes(members) > kMaxStateBytes;) {
    if (members[i].size() > kLongMemberBytes) {
      members.erase(members.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  while (JoinedBytes(members) > kMaxStateBytes) {
    members.pop_back();
  }
  return absl::StrJoin(members, ",");
}

std::string NewTraceId() {
  const std::uint64_t high = RandomBits();
  const std::uint64_t low = RandomBits();
  return high == 0 && low == 0 ? NewTraceId()
                               : absl::StrCat(SixteenDigits(high), SixteenDigits(low));
}

std::string NewSpanId() {
  const std::uint64_t bits = RandomBits();
  return bits == 0 ? NewSpanId() : SixteenDigits(bits);
}

}  // namespace fieldloop
