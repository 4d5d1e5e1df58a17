// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_HEALTH_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_HEALTH_H_

namespace fieldloop {

// What HealthCheckRequest.service names to ask grpc.health.v1 whether a server can do its work now:
// it is NOT_SERVING while its database is away. The empty name asks whether the process lives.
inline constexpr char kReadiness[] = "ready";

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_HEALTH_H_
