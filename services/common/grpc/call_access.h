// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_CALL_ACCESS_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_CALL_ACCESS_H_

#include <grpcpp/server_context.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/access/access.h"

namespace fieldloop {

// Reads the caller from the call's metadata and client certificate.
Caller CallerOf(const grpc::ServerContext& context);

// access.Check(CallerOf(context), resource, role): the first line of every handler.
absl::StatusOr<Grant> CheckCall(Access& access, const grpc::ServerContext& context,
                                absl::string_view resource, Role role);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_CALL_ACCESS_H_
