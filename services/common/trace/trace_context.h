// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_TRACE_TRACE_CONTEXT_H_
#define FIELDLOOP_SERVICES_COMMON_TRACE_TRACE_CONTEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace fieldloop {

// Where a piece of work stands in its trace. https://www.w3.org/TR/trace-context/
struct TraceContext {
  std::string trace_id;  // 32 hex digits in lower case, not all zero; empty: no trace.
  std::string span_id;   // 16 of them.
  bool sampled = false;  // Spans of this trace are exported.
  std::string state;     // What other vendors say, passed on as it came.

  bool valid() const { return !trace_id.empty(); }
  friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

// Names of the headers, of HTTP and of gRPC's metadata.
inline constexpr char kTraceparent[] = "traceparent";
inline constexpr char kTracestate[] = "tracestate";
// The environment variable that carries a traceparent to a program.
// https://opentelemetry.io/docs/specs/otel/context/env-carriers/
inline constexpr char kTraceparentVariable[] = "TRACEPARENT";

// Reads a traceparent, "00-<trace id>-<span id>-<flags>"; of later versions what 00 has. Nothing if
// it breaks the rules: the trace then begins anew.
std::optional<TraceContext> ParseTraceparent(absl::string_view header);
std::string FormatTraceparent(const TraceContext& trace);

// A tracestate as it is passed on: of one that is longer than 512 characters, members longer than
// 128 are left out first, then the last ones. "" if it breaks the rules, or has more than 32
// members.
std::string PassOnTracestate(absl::string_view header);

// New random ids.
std::string NewTraceId();
std::string NewSpanId();

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_TRACE_TRACE_CONTEXT_H_
