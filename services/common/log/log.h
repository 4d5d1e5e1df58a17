// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_LOG_LOG_H_
#define FIELDLOOP_SERVICES_COMMON_LOG_LOG_H_

#include <string>

#include <spdlog/spdlog.h>

#include "absl/strings/string_view.h"

namespace fieldloop {

// Sends the log to standard error, one line an event: "text" for people or "json" for collectors.
// Each line carries the service, and the id of the current request when there is one. INVALID names
// are read as text.
void StartLog(const std::string& service, const std::string& format);

// The id of the request that this thread works on; "" outside of one. It is taken from the metadata
// "x-request-id", made when the caller sent none, and passed on by every channel of OpenChannel.
const std::string& CurrentRequestId();

// Sets the id for this thread while it lives, for work that does not begin with a gRPC call.
class RequestScope {
 public:
  explicit RequestScope(std::string request_id);
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;

  // Sets the id for this thread until it is set again, where no scope can stand around the work.
  static void Set(const std::string& request_id);

 private:
  std::string previous_;
};

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
