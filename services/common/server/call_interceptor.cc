// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/call_interceptor.h"

#include <chrono>
#include <map>
#include <string>
#include <utility>

#include <grpcpp/support/status.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "services/common/grpc/call_headers.h"
#include "services/common/log/log.h"
#include "services/common/sync/mutex.h"

namespace fieldloop {
namespace {

using grpc::experimental::InterceptionHookPoints;

// Those of one method. To look them up by their labels takes longer than to count.
struct CallMetrics {
  prometheus::Family<prometheus::Counter>& calls;
  prometheus::Counter& good_calls;
  prometheus::Histogram& seconds;
  prometheus::Gauge& in_flight;
};

class CallInterceptor final : public grpc::experimental::Interceptor {
 public:
  CallInterceptor(const CallMetrics& metrics, const char* method)
      : metrics_(metrics), method_(method), start_(std::chrono::steady_clock::now()) {
    metrics_.in_flight.Increment();
  }
  CallInterceptor(const CallInterceptor&) = delete;
  CallInterceptor& operator=(const CallInterceptor&) = delete;
  ~CallInterceptor() override { metrics_.in_flight.Decrement(); }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      call_ = ReadCallMetadata(*methods->GetRecvInitialMetadata());
      span_ = BeginCallSpan(method_, SpanKind::kServer, call_.trace);
      call_.trace = span_.context();
      call_.fields = {{"method", method_}};
      if (call_.request_id.empty()) {
        call_.request_id = call_.trace.trace_id;
      }
    }
    // A synchronous handler runs on the thread that runs the interceptors before it.
    CallScope::Set(call_);
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      Finish(status);
      EndCallSpan(span_, SpanKind::kServer, status.error_code(), status.error_message());
    }
    methods->Proceed();
  }

 private:
  void Finish(const grpc::Status& status) {
    const std::string code =
        absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
    if (status.ok()) {
      metrics_.good_calls.Increment();
    } else {
      metrics_.calls.Add({{"method", method_}, {"code", code}}).Increment();
    }
    metrics_.seconds.Observe(seconds.count());
    const bool probe = absl::StartsWith(method_, "/grpc.");
    if (!status.ok() && !probe) {
      spdlog::info("{} {:.1f} ms: {}", code, seconds.count() * 1000, status.error_message());
    } else {
      spdlog::debug("{} {:.1f} ms", code, seconds.count() * 1000);
    }
  }

  const CallMetrics& metrics_;
  std::string method_;
  std::chrono::steady_clock::time_point start_;
  CallContext call_;
  Span span_;
};

class CallInterceptorFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallInterceptorFactory(prometheus::Registry& registry)
      : calls_(prometheus::BuildCounter()
                   .Name("fieldloop_calls_total")
                   .Help("gRPC calls by method and code")
                   .Register(registry)),
        seconds_(prometheus::BuildHistogram()
                     .Name("fieldloop_call_seconds")
                     .Help("Duration of gRPC calls by method, in seconds")
                     .Register(registry)),
        in_flight_(prometheus::BuildGauge()
                       .Name("fieldloop_calls_in_flight")
                       .Help("gRPC calls that run now, watches included")
                       .Register(registry)
                       .Add({})) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new CallInterceptor(MetricsOf(info->method()), info->method());  // gRPC owns it.
  }

 private:
  const CallMetrics& MetricsOf(const std::string& method) {
    const MutexLock lock(mutex_);
    const auto known = methods_.find(method);
    if (known != methods_.end()) {
      return known->second;
    }
    const std::string ok = absl::StatusCodeToString(absl::StatusCode::kOk);
    return methods_
        .emplace(method,
                 CallMetrics{.calls = calls_,
                             .good_calls = calls_.Add({{"method", method}, {"code", ok}}),
                             .seconds = seconds_.Add({{"method", method}},
                                                     prometheus::Histogram::BucketBoundaries{
                                                         0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60}),
                             .in_flight = in_flight_})
        .first->second;
  }

  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Gauge& in_flight_;
  Mutex mutex_;
  // Only methods that exist come here; nodes stay where they are.
  std::map<std::string, CallMetrics> methods_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallInterceptorFactory(
    prometheus::Registry& registry) {
  return std::make_unique<CallInterceptorFactory>(registry);
}

}  // namespace fieldloop
