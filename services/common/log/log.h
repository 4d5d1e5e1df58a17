// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_LOG_LOG_H_
#define FIELDLOOP_SERVICES_COMMON_LOG_LOG_H_

#include <string>

#include <spdlog/spdlog.h>

#include "absl/strings/string_view.h"

namespace fieldloop {

// Sends the log to standard error, one line an event, times in UTC:
//   text  2026-01-31 12:00:00.123 I ingestion [request id] the message
//   json  {"time":"2026-01-31T12:00:00.123Z","level":"info","service":"ingestion",
//          "message":"the message","request_id":...,"trace_id":...,"span_id":...}
// The ids, and the fields of CurrentCall() as further members, are there when the thread works on a
// request; text shows the trace id where it is not the request id. Bytes of a message that are no
// UTF-8 become U+FFFD, and control characters are escaped, so that no message can forge a line.
// INVALID names are read as text.
void StartLog(const std::string& service, const std::string& format);

}  // namespace fieldloop

// fmt 9 cannot print Debian's absl::string_view.
template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::string_view text, Context& context) const {
    return fmt::formatter<fmt::string_view>::format({text.data(), text.size()}, context);
  }
};

#endif  // FIELDLOOP_SERVICES_COMMON_LOG_LOG_H_
