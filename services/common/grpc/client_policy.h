// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_CLIENT_POLICY_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_CLIENT_POLICY_H_

#include <string>

#include "absl/status/statusor.h"

namespace fieldloop {

// How clients reach a service that has several replicas. The only place that says it: every channel
// is opened with it.

// gRPC's target for the address of a flag or of client.json: "HOST:PORT", where HOST may be a name
// with an address for each replica, or several "IP:PORT" separated by commas. INVALID_ARGUMENT if
// one of several is not an IP address, or if they are not of one family.
absl::StatusOr<std::string> ChannelTarget(const std::string& address);

// The service config (https://github.com/grpc/grpc/blob/master/doc/service_config.md) for channels
// to service `name`, such as "ingestion": a call goes to a replica that is connected, and a method
// whose idempotency_level in the proto allows it is tried up to five times, within its deadline,
// while it ends with UNAVAILABLE. A stream only until its first message has come.
std::string ServiceConfig(const std::string& name);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_CLIENT_POLICY_H_
