// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_ACCESS_ACCESS_H_
#define FIELDLOOP_SERVICES_COMMON_ACCESS_ACCESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// What a call needs, in the order of fieldloop.provisioning.v1.Role.
enum class Role { kIngest = 1, kViewer = 2, kOperator = 3, kAdmin = 4 };

// As people write it: "ingest".
inline absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kIngest:
      return "ingest";
    case Role::kViewer:
      return "viewer";
    case Role::kOperator:
      return "operator";
    case Role::kAdmin:
      return "admin";
  }
  return "unknown";
}

// Who makes a call.
struct Caller {
  std::string token;    // Bearer token, or empty.
  std::string service;  // Common name of a service's client certificate, or empty.
};

struct Grant {
  std::string principal;  // "apiTokens/4f0c" or "services/distribution".
  std::string project;    // "projects/x": the only project the token is for; empty: all.
};

// Decides who may do what. Thread-safe.
class Access {
 public:
  Access() = default;
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
  virtual ~Access() = default;

  // Returns who the caller is if it may act as `role` in the project that `resource` names (its
  // first two segments; "" asks for the installation as a whole, or with Role::kIngest for the
  // token's own project). A service may do everything in a project that exists. UNAUTHENTICATED,
  // PERMISSION_DENIED, NOT_FOUND (no such project), INVALID_ARGUMENT (`resource` is not
  // "projects/..." or ""), UNAVAILABLE.
  virtual absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view resource,
                                      Role role) = 0;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_ACCESS_ACCESS_H_
