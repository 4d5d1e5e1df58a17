// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_CLIENT_CALL_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_CLIENT_CALL_H_

#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "services/common/grpc/grpc_status.h"

namespace fieldloop {

// Files of one side of a mutual TLS connection, PEM.
struct TlsFiles {
  std::string ca;    // Who signs the other side.
  std::string cert;  // Own certificate chain; empty for a client that has none.
  std::string key;   // Own key; empty with `cert`.
};

// Opens a channel to a service over TLS; to its replicas, by what client_policy.h says of addresses
// and repeated calls. The ids of the current request and trace go with every call. `token` is sent
// as "authorization: Bearer ..." unless it is empty. `server_name` is what the certificate must
// carry: services carry their own name, such as "ingestion". Connects when it is first used, and
// again by itself. INVALID_ARGUMENT if a file cannot be read or `address` is not as wanted.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const TlsFiles& tls,
                                                           const std::string& server_name,
                                                           const std::string& token = "");

// One unary call with a deadline:
//   CallUnary(*stub, &Stub::GetDevice, request, absl::Seconds(10))
// Errors as FromGrpcStatus.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallUnary(
    Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
    const Request& request, absl::Duration timeout = absl::Seconds(30)) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  return response;
}

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_CLIENT_CALL_H_
