// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/log/log.h"

#include <memory>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "absl/strings/str_cat.h"

namespace fieldloop {
namespace {

thread_local std::string request_id;

// %* prints the id of the current request.
class RequestIdFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& /*message*/, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    out.append(request_id.data(), request_id.data() + request_id.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<RequestIdFlag>();
  }
};

// %~ prints the message as the inside of a JSON string.
class JsonTextFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    for (const char c : message.payload) {
      if (c == '"' || c == '\\') {
        out.push_back('\\');
        out.push_back(c);
      } else if (static_cast<unsigned char>(c) < 0x20U) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned int>(c));
      } else {
        out.push_back(c);
      }
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonTextFlag>();
  }
};

}  // namespace

void StartLog(const std::string& service, const std::string& format) {
  auto logger =
      std::make_shared<spdlog::logger>(service, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<RequestIdFlag>('*').add_flag<JsonTextFlag>('~');
  formatter->set_pattern(format == "json"
                             ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","service":"%n",)"
                               R"("request_id":"%*","message":"%~"})"
                             : "%Y-%m-%d %H:%M:%S.%e %L %n [%*] %v");
  logger->set_formatter(std::move(formatter));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

const std::string& CurrentRequestId() { return request_id; }

RequestScope::RequestScope(std::string id) : previous_(std::exchange(request_id, std::move(id))) {}
void RequestScope::Set(const std::string& id) { request_id = id; }
RequestScope::~RequestScope() { request_id = std::move(previous_); }

}  // namespace fieldloop
