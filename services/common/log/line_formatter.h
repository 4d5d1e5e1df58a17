// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_LOG_LINE_FORMATTER_H_
#define FIELDLOOP_SERVICES_COMMON_LOG_LINE_FORMATTER_H_

#include <memory>

#include <spdlog/formatter.h>

namespace fieldloop {

// Makes the lines that StartLog describes.
class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(bool json) : json_(json) {}
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override;
  std::unique_ptr<formatter> clone() const override;

 private:
  bool json_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_LOG_LINE_FORMATTER_H_
