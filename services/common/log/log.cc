// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/log/log.h"

#include <memory>
#include <utility>

#include <spdlog/sinks/stdout_sinks.h>

#include "services/common/log/line_formatter.h"

namespace fieldloop {

void StartLog(const std::string& service, const std::string& format) {
  auto logger =
      std::make_shared<spdlog::logger>(service, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::make_unique<LineFormatter>(format == "json"));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace fieldloop
