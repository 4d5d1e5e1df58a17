// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/grpc/call_audit.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace fieldloop {
namespace {

constexpr char kServices[] = "services/";
constexpr char kApiTokens[] = "apiTokens/";

thread_local CallAudit current;

// "fla_ID_SECRET": the ID names the token.
std::string PrincipalOf(const Caller& caller) {
  if (caller.token.empty()) {
    return caller.service.empty() ? "" : absl::StrCat(kServices, caller.service);
  }
  const std::vector<absl::string_view> parts =
      absl::StrSplit(caller.token, absl::MaxSplits('_', 2));
  return parts.size() == 3 ? absl::StrCat(kApiTokens, parts[1]) : "";
}

}  // namespace

CallAudit& CurrentCallAudit() { return current; }

void NoteAccess(const Caller& caller, absl::string_view resource, Role role,
                const absl::Status& checked, absl::string_view principal) {
  current = {};
  if (checked.ok()) {
    current.subject = std::string(principal);
  } else if (absl::IsPermissionDenied(checked) || absl::IsNotFound(checked)) {
    current.subject = PrincipalOf(caller);  // The token is good, or this would not be the answer.
  }
  current.role =
      std::string(absl::StartsWith(current.subject, kServices) ? "service" : RoleName(role));
  current.target = std::string(resource);
}

}  // namespace fieldloop
