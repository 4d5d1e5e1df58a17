// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/call_headers.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <grpcpp/support/status.h>

#include "absl/strings/match.h"

namespace fieldloop {
namespace {

using grpc::experimental::InterceptionHookPoints;

// One call of a client.
class CallHeaders final : public grpc::experimental::Interceptor {
 public:
  CallHeaders(const std::string& token, const char* method) : token_(token), method_(method) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      const CallContext& call = CurrentCall();
      span_ = BeginCallSpan(method_, SpanKind::kClient, call.trace);
      auto* metadata = methods->GetSendInitialMetadata();
      if (!call.request_id.empty()) {
        metadata->emplace(kRequestIdHeader, call.request_id);
      }
      if (const TraceContext& trace = span_.context(); trace.valid()) {
        metadata->emplace(kTraceparent, FormatTraceparent(trace));
        if (!trace.state.empty()) {
          metadata->emplace(kTracestate, trace.state);
        }
      }
      if (!token_.empty()) {
        metadata->emplace("authorization", "Bearer " + token_);
      }
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      const grpc::Status& status = *methods->GetRecvStatus();
      EndCallSpan(span_, SpanKind::kClient, status.error_code(), status.error_message());
    }
    methods->Proceed();
  }

 private:
  const std::string& token_;
  const std::string method_;
  Span span_;
};

class CallHeadersFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit CallHeadersFactory(std::string token) : token_(std::move(token)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    return new CallHeaders(token_, info->method());  // gRPC owns it.
  }

 private:
  std::string token_;
};

}  // namespace

CallContext ReadCallMetadata(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  const auto all = [&metadata](const char* name) {
    std::vector<absl::string_view> values;
    const auto [first, last] = metadata.equal_range(name);
    for (auto one = first; one != last; ++one) {
      values.emplace_back(one->second.data(), one->second.size());
    }
    return values;
  };
  const std::vector<absl::string_view> ids = all(kRequestIdHeader);
  return ReadCallHeaders(ids.empty() ? "" : ids.front(), all(kTraceparent), all(kTracestate));
}

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeCallHeadersFactory(
    std::string token) {
  return std::make_unique<CallHeadersFactory>(std::move(token));
}

Span BeginCallSpan(const std::string& method, SpanKind kind, const TraceContext& parent) {
  if (absl::StartsWith(method, "/grpc.")) {
    return {};
  }
  Span span(method.substr(1), kind, parent);
  const std::size_t slash = method.rfind('/');
  span.Set("rpc.system", "grpc");
  span.Set("rpc.service", method.substr(1, slash - 1));
  span.Set("rpc.method", method.substr(slash + 1));
  return span;
}

void EndCallSpan(Span& span, SpanKind kind, int status_code, const std::string& message) {
  span.Set("rpc.grpc.status_code", std::int64_t{status_code});
  const bool own_fault =
      status_code == grpc::StatusCode::UNKNOWN || status_code == grpc::StatusCode::UNIMPLEMENTED ||
      status_code == grpc::StatusCode::DEADLINE_EXCEEDED ||
      status_code == grpc::StatusCode::INTERNAL || status_code == grpc::StatusCode::UNAVAILABLE ||
      status_code == grpc::StatusCode::DATA_LOSS;
  if (kind == SpanKind::kClient ? status_code != grpc::StatusCode::OK : own_fault) {
    span.Fail(message);
  }
  span.End();
}

}  // namespace fieldloop
