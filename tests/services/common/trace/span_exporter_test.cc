// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/trace/span_exporter.h"

#include <array>
#include <condition_variable>
#include <functional>
#include <httplib.h>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using nlohmann::json;
using ::testing::SizeIs;

// Takes requests as a collector does.
class Collector {
 public:
  Collector() {
    server_.set_keep_alive_max_count(1);
    server_.Post(".*", [this](const httplib::Request& request, httplib::Response& response) {
      std::unique_lock<std::mutex> lock(mutex_);
      requests_.push_back(request);
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
      answer_(requests_.size(), response);
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
  }
  ~Collector() {
    while (!server_.is_running()) {
      std::this_thread::yield();
    }
    server_.stop();
    thread_.join();
  }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_); }
  // Gets the number of the request, from 1.
  void Answer(std::function<void(std::size_t, httplib::Response&)> answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    answer_ = std::move(answer);
  }
  void Hold(bool held) {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  std::vector<httplib::Request> Wait(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return requests_.size() >= count; });
    return requests_;
  }

 private:
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  std::vector<httplib::Request> requests_;
  std::function<void(std::size_t, httplib::Response&)> answer_ = [](std::size_t,
                                                                    httplib::Response& response) {
    response.set_content("{\"partialSuccess\":{}}", "application/json");
  };
};

class Counts {
 public:
  std::function<void(SpanFate, std::size_t)> Counter() {
    return [this](SpanFate fate, std::size_t count) {
      const std::lock_guard<std::mutex> lock(mutex_);
      counts_.at(static_cast<std::size_t>(fate)) += count;
    };
  }
  std::size_t operator[](SpanFate fate) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return counts_.at(static_cast<std::size_t>(fate));
  }

 private:
  std::mutex mutex_;
  std::array<std::size_t, 3> counts_{};
};

SpanData SpanOf(const std::string& name) {
  SpanData span;
  span.name = name;
  span.kind = SpanKind::kServer;
  span.trace = {.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                .span_id = "00f067aa0ba902b7",
                .sampled = true,
                .state = "congo=1"};
  span.parent_span_id = "b7ad6b7169203331";
  span.start = absl::FromUnixNanos(1'769'860'800'000'000'001);
  span.end = absl::FromUnixNanos(1'769'860'800'000'000'999);
  span.attributes = {{"rpc.method", std::string("Get")},
                     {"rpc.grpc.status_code", std::int64_t{13}}};
  span.failed = true;
  span.error = "broken \xFF";
  return span;
}

SpanExporterOptions Options(const std::string& url) {
  SpanExporterOptions options;
  options.url = url;
  options.service = "build";
  options.interval = absl::Hours(1);  // Full batches only, and what waits at the end.
  return options;
}

TEST(SpanExporterTest, ARequestIsWhatTheProtocolWants) {
  Collector collector;
  Counts counts;
  {
    const auto exporter = SpanExporter::Start(Options(collector.url()), counts.Counter());
    ASSERT_THAT(exporter, ::fieldloop::testing::IsOk());
    (*exporter)->Add(SpanOf("x/Get"));
  }
  const std::vector<httplib::Request> requests = collector.Wait(1);
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].path, "/v1/traces");
  EXPECT_EQ(requests[0].get_header_value("Content-Type"), "application/json");
  const json body = json::parse(requests[0].body);
  const json& resource = body["resourceSpans"][0];
  EXPECT_EQ(resource["resource"]["attributes"][0],
            json({{"key", "service.name"}, {"value", {{"stringValue", "build"}}}}));
  const json want = {
      {"traceId", "4bf92f3577b34da6a3ce929d0e0e4736"},
      {"spanId", "00f067aa0ba902b7"},
      {"parentSpanId", "b7ad6b7169203331"},
      {"traceState", "congo=1"},
      {"name", "x/Get"},
      {"kind", 2},
      {"startTimeUnixNano", "1769860800000000001"},
      {"endTimeUnixNano", "1769860800000000999"},
      {"attributes",
       json::array({{{"key", "rpc.method"}, {"value", {{"stringValue", "Get"}}}},
                    {{"key", "rpc.grpc.status_code"}, {"value", {{"intValue", "13"}}}}})},
      {"status", {{"code", 2}, {"message", "broken \xEF\xBF\xBD"}}}};
  EXPECT_EQ(resource["scopeSpans"][0]["spans"], json::array({want}));
  EXPECT_EQ(counts[SpanFate::kExported], 1U);
}

TEST(SpanExporterTest, LinksNameTheSpansThatTheyLeadTo) {
  Collector collector;
  Counts counts;
  {
    const auto exporter = SpanExporter::Start(Options(collector.url()), counts.Counter());
    ASSERT_THAT(exporter, ::fieldloop::testing::IsOk());
    SpanData span = SpanOf("rollout");
    span.links = {span.trace, span.trace};
    span.links[1].sampled = false;
    span.links[1].state = "";
    (*exporter)->Add(span);
  }
  const json body = json::parse(collector.Wait(1)[0].body);
  EXPECT_EQ(body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["links"],
            json::array({{{"traceId", "4bf92f3577b34da6a3ce929d0e0e4736"},
                          {"spanId", "00f067aa0ba902b7"},
                          {"flags", 1},
                          {"traceState", "congo=1"}},
                         {{"traceId", "4bf92f3577b34da6a3ce929d0e0e4736"},
                          {"spanId", "00f067aa0ba902b7"},
                          {"flags", 0}}}));
}

TEST(SpanExporterTest, APathOfTheUrlIsKept) {
  Collector collector;
  Counts counts;
  {
    const auto exporter = SpanExporter::Start(Options(collector.url() + "/otlp"), counts.Counter());
    (*exporter)->Add(SpanOf("a"));
  }
  EXPECT_EQ(collector.Wait(1)[0].path, "/otlp");
}

TEST(SpanExporterTest, BatchesAreBoundedAndAFullQueueDropsWithoutBlocking) {
  Collector collector;
  Counts counts;
  SpanExporterOptions options = Options(collector.url());
  options.max_batch = 2;
  options.max_queue = 4;
  {
    collector.Hold(true);
    const auto exporter = SpanExporter::Start(options, counts.Counter());
    (*exporter)->Add(SpanOf("1"));
    (*exporter)->Add(SpanOf("2"));
    collector.Wait(1);  // Is held, with the first two.
    for (int i = 3; i <= 9; ++i) {
      (*exporter)->Add(SpanOf(absl::StrCat(i)));
    }
    EXPECT_EQ(counts[SpanFate::kDropped], 3U);
    collector.Hold(false);
  }
  EXPECT_THAT(collector.Wait(3), SizeIs(3));
  EXPECT_EQ(counts[SpanFate::kExported], 6U);
  EXPECT_EQ(counts[SpanFate::kDropped], 3U);
}

TEST(SpanExporterTest, ABusyCollectorIsAskedAgainWithTheSameSpans) {
  Collector collector;
  Counts counts;
  collector.Answer([](std::size_t number, httplib::Response& response) {
    response.status = number == 1 ? 503 : 200;
    response.set_content("{}", "application/json");
  });
  SpanExporterOptions options = Options(collector.url());
  options.max_batch = 1;
  {
    const auto exporter = SpanExporter::Start(options, counts.Counter());
    (*exporter)->Add(SpanOf("busy"));
    const std::vector<httplib::Request> twice = collector.Wait(2);
    EXPECT_EQ(twice[0].body, twice[1].body);
  }
  EXPECT_EQ(counts[SpanFate::kExported], 1U);
  EXPECT_EQ(counts[SpanFate::kFailed], 0U);
}

TEST(SpanExporterTest, WhatTheCollectorRejectsOrRefusesIsCountedAndNotSentAgain) {
  Collector collector;
  Counts counts;
  collector.Answer([](std::size_t number, httplib::Response& response) {
    response.status = number == 1 ? 200 : 400;
    response.set_content(R"({"partialSuccess":{"rejectedSpans":"2"}})", "application/json");
  });
  SpanExporterOptions options = Options(collector.url());
  options.max_batch = 3;
  {
    const auto exporter = SpanExporter::Start(options, counts.Counter());
    for (int i = 0; i < 3; ++i) {
      (*exporter)->Add(SpanOf("some"));
    }
    collector.Wait(1);
    (*exporter)->Add(SpanOf("none"));
  }
  EXPECT_THAT(collector.Wait(2), SizeIs(2));
  EXPECT_EQ(counts[SpanFate::kExported], 1U);
  EXPECT_EQ(counts[SpanFate::kFailed], 3U);
}

TEST(SpanExporterTest, NobodyThereIsCountedAndDoesNotHoldUpAStop) {
  std::string url;
  {
    const Collector gone;
    url = gone.url();
  }
  Counts counts;
  {
    const auto exporter = SpanExporter::Start(Options(url), counts.Counter());
    (*exporter)->Add(SpanOf("lost"));
  }
  EXPECT_EQ(counts[SpanFate::kFailed], 1U);
}

TEST(SpanExporterTest, OnlyAnHttpAddressIsTaken) {
  for (const char* url : {"", "tempo:4318", "ftp://tempo", "http://", "http:///v1/traces"}) {
    const auto exporter = SpanExporter::Start(Options(url), [](SpanFate, std::size_t) {});
    EXPECT_THAT(exporter.status(),
                ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument))
        << url;
  }
}

}  // namespace
}  // namespace fieldloop
