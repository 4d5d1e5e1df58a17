// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_TRACE_SPAN_H_
#define FIELDLOOP_SERVICES_COMMON_TRACE_SPAN_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/trace/trace_context.h"

namespace fieldloop {

// Name of the header that carries CallContext::request_id.
inline constexpr char kRequestIdHeader[] = "x-request-id";

// What the work of this thread belongs to; every line of its log says so, and every call that it
// makes of another service passes it on.
struct CallContext {
  // Metadata "x-request-id" of the call, or the trace id when the caller chose none; "" outside of
  // a request.
  std::string request_id;
  TraceContext trace;
  // What the work is about, such as {"device", "projects/x/devices/y"}: fields of the log's lines.
  std::vector<std::pair<std::string, std::string>> fields;
};

const CallContext& CurrentCall();
// CurrentCall().request_id.
const std::string& CurrentRequestId();

// Makes `call` the current one of this thread while it lives.
class CallScope {
 public:
  explicit CallScope(CallContext call);
  ~CallScope();
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  // Makes `call` the current one of this thread until another is set, where no scope can stand
  // around the work.
  static void Set(const CallContext& call);

 private:
  CallContext previous_;
};

// While it lives, calls that this thread makes are in the trace but are no spans: for questions
// that are repeated until the answer changes.
class QuietScope {
 public:
  QuietScope();

 private:
  CallScope scope_;
};

// The numbers are those of OpenTelemetry's Span.SpanKind.
enum class SpanKind : std::uint8_t { kInternal = 1, kServer = 2, kClient = 3, kConsumer = 5 };

// A span that has ended.
struct SpanData {
  using Value = std::variant<std::string, std::int64_t>;

  std::string name;
  SpanKind kind = SpanKind::kInternal;
  TraceContext trace;          // span_id is its own.
  std::string parent_span_id;  // "": the root of its trace.
  std::vector<TraceContext> links;
  absl::Time start;
  absl::Time end;
  std::vector<std::pair<std::string, Value>> attributes;  // Names of OpenTelemetry's conventions.
  bool failed = false;
  std::string error;
};

// Takes spans. Thread-safe; must not block, and must not make spans.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void Add(SpanData span) = 0;
};

// Where the sampled spans of this process go from now on, nullptr for nowhere, and the share of the
// traces that begin here which are sampled, 0 to 1. At the start: nowhere, 0. Thread-safe.
void SetSpanSink(std::shared_ptr<SpanSink> sink, double sample_ratio);

// One piece of work. Made, moved and ended by one thread at a time; it does nothing to the thread's
// context.
class Span {
 public:
  // No work: without effect.
  Span() = default;
  // Begins now: a child of `parent` in its trace, sampled when that is; without a valid parent the
  // root of a new trace, sampled when the first of `links` is, or without links by the ratio.
  // `links` are spans of other traces that caused it; those that are not valid are left out.
  // https://opentelemetry.io/docs/specs/otel/overview/#links-between-spans
  Span(std::string name, SpanKind kind, const TraceContext& parent,
       const std::vector<TraceContext>& links = {});
  // Ends now, unless it has ended.
  ~Span();
  Span(Span&& other) noexcept;
  Span& operator=(Span&& other) noexcept;

  // The context of work inside of it.
  const TraceContext& context() const { return data_.trace; }
  void Set(std::string name, SpanData::Value value);
  // The work has failed.
  void Fail(absl::string_view error);
  // Fails with what `status` says unless it is OK.
  void Finish(const absl::Status& status);
  void End();
  // Ends without a trace: what was done is not worth one.
  void Drop() { open_ = false; }

 private:
  SpanData data_;
  std::chrono::steady_clock::time_point start_;
  bool open_ = false;
};

// A span around work of this thread that begins without a gRPC call, with itself as the thread's
// context: a child of `parent`, or the root of a new trace. The request id is the trace id. The
// fields are attributes too, named "fieldloop.<field>". The lines of the log of a root that has
// links say the first one's trace, as field "linked_trace_id".
class WorkSpan {
 public:
  WorkSpan(std::string name, SpanKind kind, const TraceContext& parent,
           std::vector<std::pair<std::string, std::string>> fields,
           const std::vector<TraceContext>& links = {});

  Span& span() { return span_; }

 private:
  Span span_;
  CallScope scope_;
};

// The traceparent of this thread's work, to be kept with what it starts; "" outside of a trace.
std::string CurrentTraceparent();
// The trace of a traceparent that was kept so; none of "".
TraceContext TraceOf(absl::string_view traceparent);

// What the headers of a call say of the request that it belongs to: the request id, "" unless it
// has 1 to 64 bytes, with what is not printable escaped; and the trace, none unless there is one
// traceparent that keeps the rules.
CallContext ReadCallHeaders(absl::string_view request_id,
                            const std::vector<absl::string_view>& traceparents,
                            const std::vector<absl::string_view>& tracestates);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_TRACE_SPAN_H_
