// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/trace/span_exporter.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <curl/curl.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace fieldloop {
namespace {

using nlohmann::json;

constexpr char kTracesPath[] = "/v1/traces";
constexpr long kConnectTimeoutMs = 2000;
constexpr std::size_t kMaxAnswerBytes = 64 << 10;
constexpr absl::Duration kFirstWait = absl::Milliseconds(200);
constexpr int kErrorCode = 2;  // Status.STATUS_CODE_ERROR
constexpr int kSampledFlag = 1;

// https://github.com/open-telemetry/opentelemetry-proto/blob/v1.3.2/docs/specification.md#json-protobuf-encoding
// Ids are in hex, 64 bit integers are strings, enumerations are numbers.
json AttributeOf(const std::string& name, const SpanData::Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value); number != nullptr) {
    return {{"key", name}, {"value", {{"intValue", absl::StrCat(*number)}}}};
  }
  return {{"key", name}, {"value", {{"stringValue", std::get<std::string>(value)}}}};
}

json SpanOf(const SpanData& span) {
  json attributes = json::array();
  for (const auto& [name, value] : span.attributes) {
    attributes.push_back(AttributeOf(name, value));
  }
  json made = {{"traceId", span.trace.trace_id},
               {"spanId", span.trace.span_id},
               {"name", span.name},
               {"kind", static_cast<int>(span.kind)},
               {"startTimeUnixNano", absl::StrCat(absl::ToUnixNanos(span.start))},
               {"endTimeUnixNano", absl::StrCat(absl::ToUnixNanos(span.end))},
               {"attributes", std::move(attributes)}};
  for (const TraceContext& link : span.links) {
    // The lowest byte of a link's flags are those of W3C's context.
    json one = {{"traceId", link.trace_id},
                {"spanId", link.span_id},
                {"flags", link.sampled ? kSampledFlag : 0}};
    if (!link.state.empty()) {
      one["traceState"] = link.state;
    }
    made["links"].push_back(std::move(one));
  }
  if (!span.parent_span_id.empty()) {
    made["parentSpanId"] = span.parent_span_id;
  }
  if (!span.trace.state.empty()) {
    made["traceState"] = span.trace.state;
  }
  if (span.failed) {
    made["status"] = {{"code", kErrorCode}, {"message", span.error}};
  }
  return made;
}

std::string RequestOf(const std::vector<SpanData>& batch, const json& resource) {
  json spans = json::array();
  for (const SpanData& span : batch) {
    spans.push_back(SpanOf(span));
  }
  const json request = {
      {"resourceSpans",
       json::array({{{"resource", resource},
                     {"scopeSpans", json::array({{{"scope", {{"name", "fieldloop"}}},
                                                  {"spans", std::move(spans)}}})}}})}};
  // A text of somebody else may be no UTF-8.
  return request.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

// partialSuccess.rejectedSpans of an ExportTraceServiceResponse, which is an integer or its digits.
std::size_t RejectedIn(const std::string& answer) {
  const json body = json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object() || !body.contains("partialSuccess") ||
      !body["partialSuccess"].is_object() || !body["partialSuccess"].contains("rejectedSpans")) {
    return 0;
  }
  const json& rejected = body["partialSuccess"]["rejectedSpans"];
  std::uint64_t count = 0;
  if (rejected.is_number_unsigned()) {
    return rejected.get<std::size_t>();
  }
  return rejected.is_string() && absl::SimpleAtoi(rejected.get<std::string>(), &count) ? count : 0;
}

// Those of the protocol; 0 stands for no answer.
bool IsWorthRepeating(long status) {
  return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* context) {
  auto& body = *static_cast<std::string*>(context);
  body.append(data,
              std::min(size * count, kMaxAnswerBytes - std::min(kMaxAnswerBytes, body.size())));
  return size * count;
}

// "http://host:4318" and "http://host:4318/" get the path of the protocol.
absl::StatusOr<std::string> FullUrl(const std::string& url) {
  const std::size_t scheme = absl::StartsWith(url, "http://")    ? 7
                             : absl::StartsWith(url, "https://") ? 8
                                                                 : 0;
  if (scheme == 0 || url.size() == scheme || url[scheme] == '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("--traces: got \"", url,
                     "\", want the address of an OTLP/HTTP collector such as http://tempo:4318"));
  }
  const std::size_t path = url.find('/', scheme);
  if (path == std::string::npos) {
    return absl::StrCat(url, kTracesPath);
  }
  return path + 1 == url.size() ? absl::StrCat(url.substr(0, path), kTracesPath) : url;
}

}  // namespace

struct SpanExporter::State {
  State(SpanExporterOptions in_options, std::function<void(SpanFate, std::size_t)> in_count)
      : options(std::move(in_options)), count(std::move(in_count)) {
    resource = {
        {"attributes", json::array({AttributeOf("service.name", options.service),
                                    AttributeOf("service.namespace", std::string("fieldloop")),
                                    AttributeOf("service.instance.id", NewSpanId())})}};
  }

  void Run();
  void Send(const std::vector<SpanData>& batch);
  long Post(const std::string& body, std::string& answer);
  // False when stopping.
  bool Wait(std::unique_lock<std::mutex>& lock, absl::Duration time);

  const SpanExporterOptions options;
  const std::function<void(SpanFate, std::size_t)> count;
  json resource;
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;
  bool troubled = false;  // The last batch was lost: said once.
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<SpanData> queue;  // Guarded by mutex.
  bool stopping = false;        // Guarded by mutex.
  std::thread thread;
};

bool SpanExporter::State::Wait(std::unique_lock<std::mutex>& lock, absl::Duration time) {
  return !changed.wait_for(lock, absl::ToChronoMilliseconds(time), [this] { return stopping; });
}

void SpanExporter::State::Run() {
  std::unique_lock<std::mutex> lock(mutex);
  while (!stopping || !queue.empty()) {
    if (queue.size() < options.max_batch) {
      changed.wait_for(lock, absl::ToChronoMilliseconds(options.interval),
                       [this] { return stopping || queue.size() >= options.max_batch; });
    }
    if (queue.empty()) {
      continue;
    }
    const auto end =
        queue.begin() + static_cast<std::ptrdiff_t>(std::min(queue.size(), options.max_batch));
    const std::vector<SpanData> batch(std::make_move_iterator(queue.begin()),
                                      std::make_move_iterator(end));
    queue.erase(queue.begin(), end);
    lock.unlock();
    Send(batch);
    lock.lock();
  }
}

void SpanExporter::State::Send(const std::vector<SpanData>& batch) {
  const std::string body = RequestOf(batch, resource);
  absl::BitGen random;
  long status = 0;
  std::string answer;
  for (int attempt = 0; attempt < options.attempts; ++attempt) {
    std::unique_lock<std::mutex> lock(mutex);
    // Full jitter; a stop does not wait for a collector.
    if (attempt > 0 && !Wait(lock, absl::Uniform(random, 0.0, 1.0) * kFirstWait * (1 << attempt))) {
      break;
    }
    lock.unlock();
    answer.clear();
    status = Post(body, answer);
    if (!IsWorthRepeating(status)) {
      break;
    }
  }
  if (status >= 200 && status < 300) {
    const std::size_t rejected = std::min(batch.size(), RejectedIn(answer));
    count(SpanFate::kExported, batch.size() - rejected);
    count(SpanFate::kFailed, rejected);
    troubled = false;
    return;
  }
  count(SpanFate::kFailed, batch.size());
  if (!std::exchange(troubled, true)) {
    spdlog::warn("traces: {} does not take spans: {}", options.url,
                 status == 0 ? answer : absl::StrCat("HTTP ", status));
  }
}

// The status of the answer; 0 and why, if there is none.
long SpanExporter::State::Post(const std::string& body, std::string& answer) {
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) {
    answer = curl_easy_strerror(code);
    return 0;
  }
  return status;
}

absl::StatusOr<std::shared_ptr<SpanExporter>> SpanExporter::Start(
    SpanExporterOptions options, std::function<void(SpanFate, std::size_t)> count) {
  absl::StatusOr<std::string> url = FullUrl(options.url);
  if (!url.ok()) {
    return url.status();
  }
  options.url = *std::move(url);
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(initialised);  // Fails only without memory; curl_easy_init() then does too.
  auto state = std::make_unique<State>(std::move(options), std::move(count));
  state->curl = curl_easy_init();
  if (state->curl == nullptr) {
    return absl::InternalError("traces: libcurl cannot start");
  }
  state->headers = curl_slist_append(nullptr, "Content-Type: application/json");
  curl_easy_setopt(state->curl, CURLOPT_URL, state->options.url.c_str());
  curl_easy_setopt(state->curl, CURLOPT_HTTPHEADER, state->headers);
  curl_easy_setopt(state->curl, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(state->curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(state->curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(state->curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(state->curl, CURLOPT_TIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(state->options.timeout)));
  State& own = *state;
  auto exporter = std::shared_ptr<SpanExporter>(new SpanExporter(std::move(state)));
  own.thread = std::thread([&own] { own.Run(); });
  return exporter;
}

SpanExporter::SpanExporter(std::unique_ptr<State> state) : state_(std::move(state)) {}

SpanExporter::~SpanExporter() {
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
  curl_slist_free_all(state_->headers);
  curl_easy_cleanup(state_->curl);
}

void SpanExporter::Add(SpanData span) {
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->queue.size() < state_->options.max_queue) {
      state_->queue.push_back(std::move(span));
      if (state_->queue.size() == state_->options.max_batch) {
        state_->changed.notify_all();
      }
      return;
    }
  }
  state_->count(SpanFate::kDropped, 1);
}

}  // namespace fieldloop
