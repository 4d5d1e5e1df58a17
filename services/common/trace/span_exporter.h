// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_TRACE_SPAN_EXPORTER_H_
#define FIELDLOOP_SERVICES_COMMON_TRACE_SPAN_EXPORTER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/trace/span.h"

namespace fieldloop {

struct SpanExporterOptions {
  // Of a collector: "http://tempo:4318". Without a path, "/v1/traces" is added.
  std::string url;
  std::string service;           // resource attribute service.name
  std::size_t max_queue = 4096;  // Spans that wait; what comes beyond it is dropped.
  std::size_t max_batch = 512;
  absl::Duration interval = absl::Seconds(1);  // Between two batches, unless one is full.
  absl::Duration timeout = absl::Seconds(5);   // Of one request.
  int attempts = 4;  // Of a batch that the collector is too busy for, or does not answer.
};

// What became of spans.
enum class SpanFate {
  kExported,
  kDropped,  // The queue was full.
  kFailed,   // The collector refused them or did not answer.
};

// Sends spans to a collector by OTLP over HTTP in protobuf's JSON mapping: one POST of an
// ExportTraceServiceRequest a batch, from a thread of its own.
// https://opentelemetry.io/docs/specs/otlp/#otlphttp
class SpanExporter final : public SpanSink {
 public:
  // `count` is told what became of how many spans, from any thread. INVALID_ARGUMENT if the URL is
  // none of HTTP.
  static absl::StatusOr<std::shared_ptr<SpanExporter>> Start(
      SpanExporterOptions options, std::function<void(SpanFate, std::size_t)> count);
  // Sends what waits, once, and ends.
  ~SpanExporter() override;
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  void Add(SpanData span) override;

 private:
  struct State;
  explicit SpanExporter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_TRACE_SPAN_EXPORTER_H_
