// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/log/line_formatter.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/details/log_msg.h>

#include "services/common/trace/span.h"

namespace fieldloop {
namespace {

using nlohmann::json;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

std::string Line(const std::string& message, bool as_json) {
  spdlog::details::log_msg event("ingestion", spdlog::level::warn, message);
  event.time = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'769'860'800'007));
  spdlog::memory_buf_t out;
  LineFormatter(as_json).format(event, out);
  return {out.data(), out.size()};
}

CallContext Call(const std::string& request_id) {
  return {
      .request_id = request_id,
      .trace = {.trace_id = kTrace, .span_id = "00f067aa0ba902b7", .sampled = true, .state = ""},
      .fields = {{"device", "projects/x/devices/y"}}};
}

TEST(JsonLineTest, ALineOfARequestHasItsIdsAndFields) {
  const CallScope scope(Call("order-66"));
  const std::string line = Line("stored", true);
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(json::parse(line), json({{"time", "2026-01-31T12:00:00.007Z"},
                                     {"level", "warning"},
                                     {"service", "ingestion"},
                                     {"message", "stored"},
                                     {"request_id", "order-66"},
                                     {"trace_id", kTrace},
                                     {"span_id", "00f067aa0ba902b7"},
                                     {"device", "projects/x/devices/y"}}));
}

TEST(JsonLineTest, ALineOfNoRequestHasNone) {
  EXPECT_EQ(json::parse(Line("ready", true)).size(), 4U);
}

TEST(JsonLineTest, EveryByteIsReadBackAsItWas) {
  std::string text;
  for (char c = 1; c < 127; ++c) {
    text += c;
  }
  text += "\x7F\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x9A\x80";
  text.insert(10, 1, '\0');
  const std::string line = Line(text, true);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(json::parse(line)["message"], text);
}

TEST(JsonLineTest, BytesThatAreNoUtf8AreReplacedOneByOne) {
  constexpr char kReplaced[] = "\xEF\xBF\xBD";
  for (const char* bad :
       {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5", "\xFF", "\xE2\x82", "\xF0\x9F\x9A"}) {
    std::string want = "a";
    for (std::size_t i = 0; i < std::string(bad).size(); ++i) {
      want += kReplaced;
    }
    const json line = json::parse(Line(std::string("a") + bad + "b", true));
    EXPECT_EQ(line["message"], want + "b") << want.size();
  }
}

TEST(TextLineTest, ALineOfARequestHasItsId) {
  const CallScope scope(Call(kTrace));
  EXPECT_EQ(Line("stored", false),
            "2026-01-31 12:00:00.007 W ingestion [4bf92f3577b34da6a3ce929d0e0e4736] stored "
            "device=projects/x/devices/y\n");
}

TEST(TextLineTest, ARequestIdOfItsOwnStandsBesideTheTrace) {
  const CallScope scope(Call("order-66"));
  EXPECT_EQ(Line("stored", false),
            "2026-01-31 12:00:00.007 W ingestion [order-66 4bf92f3577b34da6a3ce929d0e0e4736] "
            "stored device=projects/x/devices/y\n");
}

TEST(TextLineTest, AMessageCannotForgeALine) {
  EXPECT_EQ(Line("a\n2026-01-31 12:00:00.007 E\x1B[31m", false),
            "2026-01-31 12:00:00.007 W ingestion [] a\\n2026-01-31 12:00:00.007 E\\u001b[31m\n");
}

}  // namespace
}  // namespace fieldloop
