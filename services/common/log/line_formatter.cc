// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/log/line_formatter.h"

#include <cstddef>
#include <iterator>

#include <spdlog/details/log_msg.h>
#include <spdlog/fmt/fmt.h>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/trace/span.h"

namespace fieldloop {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

void Append(spdlog::memory_buf_t& out, absl::string_view text) {
  out.append(text.data(), text.data() + text.size());
}

unsigned ByteAt(absl::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

// Bytes of the character that `text` begins with; 0 if it is no UTF-8: a byte that begins nothing,
// a form that is too long, a surrogate, or beyond U+10FFFF. RFC 3629, section 4.
std::size_t CharacterBytes(absl::string_view text) {
  const unsigned first = ByteAt(text, 0);
  if (first < 0x80U) {
    return 1;
  }
  const std::size_t bytes = first < 0xC2U   ? 0
                            : first < 0xE0U ? 2
                            : first < 0xF0U ? 3
                            : first < 0xF5U ? 4
                                            : 0;
  if (bytes == 0 || text.size() < bytes) {
    return 0;
  }
  const unsigned least = first == 0xE0U ? 0xA0U : first == 0xF0U ? 0x90U : 0x80U;
  const unsigned most = first == 0xEDU ? 0x9FU : first == 0xF4U ? 0x8FU : 0xBFU;
  if (ByteAt(text, 1) < least || ByteAt(text, 1) > most) {
    return 0;
  }
  for (std::size_t i = 2; i < bytes; ++i) {
    if ((ByteAt(text, i) & 0xC0U) != 0x80U) {
      return 0;
    }
  }
  return bytes;
}

// The text as the inside of a JSON string, or as it stands in a line of text.
void AppendEscaped(spdlog::memory_buf_t& out, absl::string_view text, bool json) {
  while (!text.empty()) {
    const std::size_t bytes = CharacterBytes(text);
    const char c = text.front();
    if (bytes == 0) {
      Append(out, kReplacement);
    } else if (bytes > 1) {
      Append(out, text.substr(0, bytes));
    } else if (c == '\n') {
      Append(out, "\\n");
    } else if (c == '\t') {
      Append(out, "\\t");
    } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned int>(c));
    } else {
      if (json && (c == '"' || c == '\\')) {
        out.push_back('\\');
      }
      out.push_back(c);
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
}

void AppendMember(spdlog::memory_buf_t& out, absl::string_view name, absl::string_view value) {
  Append(out, ",\"");
  AppendEscaped(out, name, /*json=*/true);
  Append(out, "\":\"");
  AppendEscaped(out, value, /*json=*/true);
  out.push_back('"');
}

absl::string_view ViewOf(spdlog::string_view_t text) { return {text.data(), text.size()}; }

}  // namespace

void LineFormatter::format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) {
  const CallContext& call = CurrentCall();
  const absl::string_view level = ViewOf(spdlog::level::to_string_view(message.level));
  const absl::Time time = absl::FromChrono(message.time);
  if (json_) {
    Append(out, absl::FormatTime("{\"time\":\"%Y-%m-%dT%H:%M:%E3SZ\"", time, absl::UTCTimeZone()));
    AppendMember(out, "level", level);
    AppendMember(out, "service", ViewOf(message.logger_name));
    AppendMember(out, "message", ViewOf(message.payload));
    if (!call.request_id.empty()) {
      AppendMember(out, "request_id", call.request_id);
    }
    if (call.trace.valid()) {
      AppendMember(out, "trace_id", call.trace.trace_id);
      AppendMember(out, "span_id", call.trace.span_id);
    }
    for (const auto& [name, value] : call.fields) {
      AppendMember(out, name, value);
    }
    Append(out, "}\n");
    return;
  }
  Append(out, absl::FormatTime("%Y-%m-%d %H:%M:%E3S ", time, absl::UTCTimeZone()));
  out.push_back(absl::ascii_toupper(static_cast<unsigned char>(level.front())));
  out.push_back(' ');
  AppendEscaped(out, ViewOf(message.logger_name), /*json=*/false);
  Append(out, " [");
  AppendEscaped(out, call.request_id, /*json=*/false);
  if (call.trace.valid() && call.trace.trace_id != call.request_id) {
    Append(out, call.request_id.empty() ? "" : " ");
    Append(out, call.trace.trace_id);
  }
  Append(out, "] ");
  AppendEscaped(out, ViewOf(message.payload), /*json=*/false);
  for (const auto& [name, value] : call.fields) {
    out.push_back(' ');
    AppendEscaped(out, name, /*json=*/false);
    out.push_back('=');
    AppendEscaped(out, value, /*json=*/false);
  }
  out.push_back('\n');
}

std::unique_ptr<spdlog::formatter> LineFormatter::clone() const {
  return std::make_unique<LineFormatter>(json_);
}

}  // namespace fieldloop
