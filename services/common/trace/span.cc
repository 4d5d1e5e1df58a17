// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/trace/span.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/sync/mutex.h"

namespace fieldloop {
namespace {

constexpr std::size_t kMaxRequestIdBytes = 64;

thread_local CallContext current;

// Where spans go, of the whole process, as the log is.
struct Destination {
  Mutex mutex;
  std::shared_ptr<SpanSink> sink ABSL_GUARDED_BY(mutex);
  double ratio ABSL_GUARDED_BY(mutex) = 0;
};

Destination& GetDestination() {
  static auto* const destination = new Destination;
  return *destination;
}

// The same answer for a trace wherever it is asked: ids are uniform.
bool IsSampled(const std::string& trace_id) {
  constexpr int kBits = 56;
  Destination& destination = GetDestination();
  double ratio = 0;
  {
    const MutexLock lock(destination.mutex);
    ratio = destination.ratio;
  }
  std::uint64_t last = 0;
  if (!absl::SimpleHexAtoi(absl::string_view(trace_id).substr(trace_id.size() - kBits / 4),
                           &last)) {
    return false;
  }
  return static_cast<double>(last) < std::ldexp(ratio, kBits);
}

std::vector<TraceContext>::const_iterator FirstValid(const std::vector<TraceContext>& links) {
  return std::find_if(links.begin(), links.end(),
                      [](const TraceContext& link) { return link.valid(); });
}

CallContext Quiet(CallContext call) {
  // Without a trace each call would begin one of its own.
  if (!call.trace.valid()) {
    call.trace.trace_id = NewTraceId();
    call.trace.span_id = NewSpanId();
    if (call.request_id.empty()) {
      call.request_id = call.trace.trace_id;
    }
  }
  call.trace.sampled = false;
  return call;
}

CallContext ContextOf(const Span& span, std::vector<std::pair<std::string, std::string>> fields,
                      const TraceContext& parent, const std::vector<TraceContext>& links) {
  const auto first = FirstValid(links);
  if (!parent.valid() && first != links.end()) {
    fields.emplace_back("linked_trace_id", first->trace_id);
  }
  return {
      .request_id = span.context().trace_id, .trace = span.context(), .fields = std::move(fields)};
}

}  // namespace

const CallContext& CurrentCall() { return current; }
const std::string& CurrentRequestId() { return current.request_id; }

CallScope::CallScope(CallContext call) : previous_(std::exchange(current, std::move(call))) {}
CallScope::~CallScope() { current = std::move(previous_); }
void CallScope::Set(const CallContext& call) { current = call; }

QuietScope::QuietScope() : scope_(Quiet(current)) {}

void SetSpanSink(std::shared_ptr<SpanSink> sink, double sample_ratio) {
  Destination& destination = GetDestination();
  const MutexLock lock(destination.mutex);
  destination.sink.swap(sink);  // The old one ends after the lock.
  destination.ratio = sample_ratio;
}

Span::Span(std::string name, SpanKind kind, const TraceContext& parent,
           const std::vector<TraceContext>& links)
    : start_(std::chrono::steady_clock::now()), open_(true) {
  data_.name = std::move(name);
  data_.kind = kind;
  data_.start = absl::Now();
  data_.trace = parent;
  data_.parent_span_id = parent.span_id;
  if (!parent.valid()) {
    data_.trace = {.trace_id = NewTraceId(), .span_id = "", .sampled = false, .state = ""};
    const auto first = FirstValid(links);
    data_.trace.sampled = first == links.end() ? IsSampled(data_.trace.trace_id) : first->sampled;
  }
  std::copy_if(links.begin(), links.end(), std::back_inserter(data_.links),
               [](const TraceContext& link) { return link.valid(); });
  data_.trace.span_id = NewSpanId();
}

Span::~Span() { End(); }

Span::Span(Span&& other) noexcept
    : data_(std::move(other.data_)),
      start_(other.start_),
      open_(std::exchange(other.open_, false)) {}

Span& Span::operator=(Span&& other) noexcept {
  End();
  data_ = std::move(other.data_);
  start_ = other.start_;
  open_ = std::exchange(other.open_, false);
  return *this;
}

void Span::Set(std::string name, SpanData::Value value) {
  if (open_ && data_.trace.sampled) {
    data_.attributes.emplace_back(std::move(name), std::move(value));
  }
}

void Span::Fail(absl::string_view error) {
  data_.failed = true;
  data_.error = std::string(error);
}

void Span::Finish(const absl::Status& status) {
  if (!status.ok()) {
    Fail(status.ToString());
  }
}

void Span::End() {
  if (!std::exchange(open_, false) || !data_.trace.sampled) {
    return;
  }
  std::shared_ptr<SpanSink> sink;
  Destination& destination = GetDestination();
  {
    const MutexLock lock(destination.mutex);
    sink = destination.sink;
  }
  if (sink == nullptr) {
    return;
  }
  // The wall clock may be set meanwhile.
  data_.end = data_.start + absl::FromChrono(std::chrono::steady_clock::now() - start_);
  sink->Add(data_);
}

WorkSpan::WorkSpan(std::string name, SpanKind kind, const TraceContext& parent,
                   std::vector<std::pair<std::string, std::string>> fields,
                   const std::vector<TraceContext>& links)
    : span_(std::move(name), kind, parent, links), scope_(ContextOf(span_, fields, parent, links)) {
  for (auto& [key, value] : fields) {
    span_.Set(absl::StrCat("fieldloop.", key), std::move(value));
  }
}

std::string CurrentTraceparent() {
  return current.trace.valid() ? FormatTraceparent(current.trace) : "";
}

TraceContext TraceOf(absl::string_view traceparent) {
  return ParseTraceparent(traceparent).value_or(TraceContext());
}

CallContext ReadCallHeaders(absl::string_view request_id,
                            const std::vector<absl::string_view>& traceparents,
                            const std::vector<absl::string_view>& tracestates) {
  CallContext call;
  if (request_id.size() <= kMaxRequestIdBytes) {
    call.request_id = absl::CEscape(request_id);
  }
  std::optional<TraceContext> trace =
      traceparents.size() == 1 ? ParseTraceparent(traceparents.front()) : std::nullopt;
  if (trace.has_value()) {
    call.trace = *std::move(trace);
    call.trace.state = PassOnTracestate(absl::StrJoin(tracestates, ","));
  }
  return call;
}

}  // namespace fieldloop
