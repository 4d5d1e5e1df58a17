// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/client_policy.h"

#include <array>
#include <vector>

#include <arpa/inet.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

// The waits are 0.1 s, 0.3 s, 0.9 s and 2 s, a fifth more or less: enough for a replica that
// restarts.
constexpr char kRetryPolicy[] =
    R"({"maxAttempts":5,"initialBackoff":"0.1s","maxBackoff":"2s","backoffMultiplier":3,)"
    R"("retryableStatusCodes":["UNAVAILABLE"]})";
// When most calls of a channel fail, none is repeated: what is overloaded gets no more.
constexpr char kThrottling[] = R"({"maxTokens":100,"tokenRatio":0.5})";

// The scheme of gRPC's resolver for this address, "" if it is not an IP address with a port.
absl::string_view SchemeOf(const std::string& address) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  const std::size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 1 || port > 65535) {
    return "";
  }
  const std::string host = address.substr(0, colon);
  if (inet_pton(AF_INET, host.c_str(), parsed.data()) == 1) {
    return "ipv4:";
  }
  if (!absl::StartsWith(host, "[") || !absl::EndsWith(host, "]")) {
    return "";
  }
  return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), parsed.data()) == 1 ? "ipv6:"
                                                                                          : "";
}

}  // namespace

absl::StatusOr<std::string> ChannelTarget(const std::string& address) {
  if (!absl::StrContains(address, ',')) {
    return address;
  }
  const std::vector<std::string> addresses = absl::StrSplit(address, ',');
  const absl::string_view scheme = SchemeOf(addresses.front());
  for (const std::string& one : addresses) {
    if (SchemeOf(one).empty() || SchemeOf(one) != scheme) {
      return absl::InvalidArgumentError(absl::StrCat(
          "address: got \"", one, "\" in \"", address,
          "\", want IP:PORT, all IPv4 or all IPv6; of replicas with a name, want one name that has "
          "the addresses of all"));
    }
  }
  return absl::StrCat(scheme, address);
}

std::string ServiceConfig(const std::string& name) {
  std::string type = absl::StrCat(absl::AsciiStrToUpper(name.substr(0, 1)), name.substr(1));
  const google::protobuf::ServiceDescriptor* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
          absl::StrCat("fieldloop.", name, ".v1.", type, "Service"));
  std::vector<std::string> methods;
  for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
    const google::protobuf::MethodDescriptor& method = *service->method(i);
    if (method.options().idempotency_level() !=
        google::protobuf::MethodOptions::IDEMPOTENCY_UNKNOWN) {
      methods.push_back(absl::StrCat(R"({"service":")", service->full_name(), R"(","method":")",
                                     method.name(), R"("})"));
    }
  }
  std::string config = absl::StrCat(
      R"({"loadBalancingConfig":[{"round_robin":{}}],"retryThrottling":)", kThrottling);
  if (!methods.empty()) {
    absl::StrAppend(&config, R"(,"methodConfig":[{"name":[)", absl::StrJoin(methods, ","),
                    R"(],"retryPolicy":)", kRetryPolicy, "}]");
  }
  return absl::StrCat(config, "}");
}

}  // namespace fieldloop
