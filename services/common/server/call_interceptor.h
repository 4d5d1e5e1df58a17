// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_CALL_INTERCEPTOR_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_CALL_INTERCEPTOR_H_

#include <memory>
#include <string>

#include <grpcpp/support/server_interceptor.h>
#include <prometheus/registry.h>

namespace fieldloop {

// Around every call of a server: takes or makes the request id and the trace, counts, times and
// logs the call, and makes a span of it.
//   fieldloop_calls_total{method, code}, fieldloop_call_seconds{method}, fieldloop_calls_in_flight
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallInterceptorFactory(
    prometheus::Registry& registry);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_CALL_INTERCEPTOR_H_
