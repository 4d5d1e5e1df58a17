// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_GRPC_CALL_AUDIT_H_
#define FIELDLOOP_SERVICES_COMMON_GRPC_CALL_AUDIT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/common/access/access.h"

namespace fieldloop {

// What the handler that this thread runs knows of its call for the audit log.
struct CallAudit {
  std::string subject;  // Who calls, once that is sure: a principal of Grant.
  std::string role;     // In which role: "ingest", "viewer", "operator", "admin" or "service".
  std::string target;   // The resource that the call names; "" for the installation.
};
CallAudit& CurrentCallAudit();

// Writes into CurrentCallAudit() what an Access answered: `principal` if `checked` is OK. Whom it
// refuses is known too, from the part of the token that is no secret.
void NoteAccess(const Caller& caller, absl::string_view resource, Role role,
                const absl::Status& checked, absl::string_view principal);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_GRPC_CALL_AUDIT_H_
