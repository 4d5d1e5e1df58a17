// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_API_TOKEN_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_API_TOKEN_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/access/access.h"

namespace fieldloop::provisioning {

// A credential for a person or a program. The secret itself is kept nowhere.
struct ApiToken {
  std::string id{};
  std::string secret_digest{};  // SecretSource::DigestOf the secret.
  std::string display_name{};
  Role role = Role::kViewer;
  std::string project{};  // Id of the only project it is for; empty: all.
  absl::Time expire_time = absl::InfiniteFuture();
  bool revoked = false;
  absl::Time create_time{};

  friend bool operator==(const ApiToken&, const ApiToken&) = default;
};

// OK if `token` may be created at `now`; INVALID_ARGUMENT naming the first bad field otherwise.
absl::Status ValidateNewApiToken(const ApiToken& token, absl::Time now);

// Whether a caller of role `has` may do what needs `needs`: viewer, operator and admin each may do
// what the one before may; samples may be uploaded by ingest, operator and admin, and ingest may do
// nothing else.
bool RoleSuffices(Role has, Role needs);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_API_TOKEN_H_
