// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/client_call.h"

#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_interceptor.h>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_headers.h"
#include "services/common/grpc/client_policy.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;
// A request that is larger is not repeated.
constexpr int kMaxRepeatedBytes = 4 << 20;
// A peer whose machine is gone says nothing; servers allow a ping every ten seconds.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kLookUpAgainMs = 3'000;

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  if (path.empty()) {
    return std::string();
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read TLS file ", path));
  }
  return text.str();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const TlsFiles& tls,
                                                           const std::string& server_name,
                                                           const std::string& token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string target, ChannelTarget(address));
  grpc::SslCredentialsOptions options;
  FIELDLOOP_ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(tls.ca));
  FIELDLOOP_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadPem(tls.cert));
  FIELDLOOP_ASSIGN_OR_RETURN(options.pem_private_key, ReadPem(tls.key));
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(server_name);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // A service that restarts is found again within a second, not after gRPC's two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name the time that one attempt may take: a busy machine needs it for a handshake.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // When a replica goes, its name is looked up again: another one has come.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kLookUpAgainMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // A stream may be quiet for long; by default two pings without data would be the last.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, kMaxRepeatedBytes);
  arguments.SetServiceConfigJSON(ServiceConfig(server_name));
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeCallHeadersFactory(token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, grpc::SslCredentials(options), arguments, std::move(interceptors));
}

}  // namespace fieldloop
