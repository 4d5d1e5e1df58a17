// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_CALL_HEADERS_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_CALL_HEADERS_H_

#include <map>
#include <memory>
#include <string>

#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/string_ref.h>

#include "services/common/trace/span.h"

namespace fieldloop {

// ReadCallHeaders of a call's metadata.
CallContext ReadCallMetadata(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

// Around every call of a channel: a span, a child of the thread's context, whose traceparent is
// sent with the request id, and with `token` as "authorization: Bearer ..." unless that is empty.
std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeCallHeadersFactory(
    std::string token);

// A span of a call, by OpenTelemetry's conventions: named "fieldloop.ingestion.v1.X/Method". None
// for probes of health and for reflection. `method` begins with "/".
Span BeginCallSpan(const std::string& method, SpanKind kind, const TraceContext& parent);
// Ends it; a server's span fails only by its own fault, see
// https://opentelemetry.io/docs/specs/semconv/rpc/grpc/.
void EndCallSpan(Span& span, SpanKind kind, int status_code, const std::string& message);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_CALL_HEADERS_H_
