// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ACCESS_CONTROL_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ACCESS_CONTROL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/access/access.h"
#include "services/common/clock/clock.h"
#include "services/provisioning/domain/page.h"
#include "services/provisioning/domain/provisioning_store.h"
#include "services/provisioning/domain/secret_source.h"

namespace fieldloop::provisioning {

struct NewApiToken {
  ApiToken token;
  std::string secret;  // Shown once.
};

// API tokens, and who may do what with them. Thread-safe.
class AccessControl final : public Access {
 public:
  // All must outlive this object.
  AccessControl(ProvisioningStore& store, SecretSource& secrets, const Clock& clock);

  // As Access::Check. A token decides when there is one; otherwise the service's certificate does.
  // A token for one project is refused where the installation as a whole is asked for.
  absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view resource, Role role) override;

  // `token` carries display_name, role, project and expire_time. INVALID_ARGUMENT; NOT_FOUND if
  // there is no such project.
  absl::StatusOr<NewApiToken> CreateToken(ApiToken token);
  // By id. INVALID_ARGUMENT.
  absl::StatusOr<Page<ApiToken>> ListTokens(int page_size, absl::string_view page_token);
  // NOT_FOUND. A second time changes nothing.
  absl::StatusOr<ApiToken> Revoke(absl::string_view id);

  // A secret that is no token yet, for a caller that must write it down before it is one.
  std::string NewSecret();
  // Makes an administrator's token of a secret of NewSecret, unless there is a token of that id:
  // FAILED_PRECONDITION if that one is revoked, expired, or of another secret. INVALID_ARGUMENT if
  // it is not such a secret.
  absl::Status EnsureAdministrator(absl::string_view secret);

 private:
  absl::StatusOr<ApiToken> Authenticate(absl::string_view secret);

  ProvisioningStore& store_;
  SecretSource& secrets_;
  const Clock& clock_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ACCESS_CONTROL_H_
