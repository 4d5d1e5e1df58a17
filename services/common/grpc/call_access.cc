// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/call_access.h"

#include <string>

#include "absl/strings/strip.h"
#include "services/common/grpc/call_audit.h"

namespace fieldloop {

Caller CallerOf(const grpc::ServerContext& context) {
  Caller caller;
  const auto header = context.client_metadata().find("authorization");
  if (header != context.client_metadata().end()) {
    absl::string_view value(header->second.data(), header->second.size());
    if (absl::ConsumePrefix(&value, "Bearer ")) {
      caller.token = std::string(value);
    }
  }
  // Only certificates of the services' CA pass the handshake, see ServiceServer.
  const auto auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    const auto names = auth->FindPropertyValues("x509_common_name");
    if (!names.empty()) {
      caller.service = std::string(names.front().data(), names.front().size());
    }
  }
  return caller;
}

absl::StatusOr<Grant> CheckCall(Access& access, const grpc::ServerContext& context,
                                absl::string_view resource, Role role) {
  const Caller caller = CallerOf(context);
  absl::StatusOr<Grant> grant = access.Check(caller, resource, role);
  NoteAccess(caller, resource, role, grant.status(), grant.ok() ? grant->principal : "");
  return grant;
}

}  // namespace fieldloop
