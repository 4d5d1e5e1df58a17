// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/access_control.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

constexpr int kMaxIdAttempts = 16;

// Stored times have microseconds; what is returned must equal what is read later.
absl::Time Stored(absl::Time time) {
  return time == absl::InfiniteFuture() ? time : absl::FromUnixMicros(absl::ToUnixMicros(time));
}

// One text for all three, so that a guess learns nothing.
absl::Status BadToken() {
  return absl::UnauthenticatedError("the API token is unknown, expired or revoked");
}

}  // namespace

AccessControl::AccessControl(ProvisioningStore& store, SecretSource& secrets, const Clock& clock)
    : store_(store), secrets_(secrets), clock_(clock) {}

absl::StatusOr<ApiToken> AccessControl::Authenticate(absl::string_view secret) {
  const std::string id = IdOfSecret(kApiSecretKind, secret);
  if (id.empty()) {
    return BadToken();
  }
  absl::StatusOr<ApiToken> token = store_.GetApiToken(id);
  if (absl::IsNotFound(token.status())) {
    return BadToken();
  }
  FIELDLOOP_RETURN_IF_ERROR(token.status());
  if (!secrets_.SameDigest(token->secret_digest, secrets_.DigestOf(secret)) || token->revoked ||
      token->expire_time <= clock_.Now()) {
    return BadToken();
  }
  return token;
}

absl::StatusOr<Grant> AccessControl::Check(const Caller& caller, absl::string_view resource,
                                           Role role) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project_name, ProjectOf(resource));
  const std::string project = project_name.empty() ? "" : project_name.substr(9);  // "projects/"
  Grant grant;
  if (!caller.token.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const ApiToken token, Authenticate(caller.token));
    grant.principal = absl::StrCat("apiTokens/", token.id);
    grant.project = token.project.empty() ? "" : absl::StrCat("projects/", token.project);
    // An upload over HTTP names no project: it goes to the token's own, which the grant says.
    const bool own_project = project.empty() && role == Role::kIngest;
    // Before anything that would tell whether another project exists.
    if (!token.project.empty() && token.project != project && !own_project) {
      return absl::PermissionDeniedError(
          absl::StrCat("the API token is for ", grant.project, " only"));
    }
    if (!RoleSuffices(token.role, role)) {
      return absl::PermissionDeniedError(absl::StrCat(
          "the API token's role is ", RoleName(token.role), ", the call needs ", RoleName(role)));
    }
  } else if (!caller.service.empty()) {
    grant.principal = absl::StrCat("services/", caller.service);
  } else {
    return absl::UnauthenticatedError(
        "no credential: send \"authorization: Bearer TOKEN\" with an API token");
  }
  if (!project.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(store_.GetProject(project).status());
  }
  return grant;
}

absl::StatusOr<NewApiToken> AccessControl::CreateToken(ApiToken token) {
  const absl::Time now = clock_.Now();
  FIELDLOOP_RETURN_IF_ERROR(ValidateNewApiToken(token, now));
  token.expire_time = Stored(token.expire_time);
  token.create_time = Stored(now);
  token.revoked = false;
  absl::Status inserted;
  for (int attempt = 0; attempt < kMaxIdAttempts; ++attempt) {
    std::string secret = NewSecret();
    token.id = IdOfSecret(kApiSecretKind, secret);
    token.secret_digest = secrets_.DigestOf(secret);
    inserted = store_.InsertApiToken(token);
    if (inserted.ok()) {
      return NewApiToken{.token = std::move(token), .secret = std::move(secret)};
    }
    if (!absl::IsAlreadyExists(inserted)) {
      break;
    }
  }
  return inserted;
}

absl::StatusOr<Page<ApiToken>> AccessControl::ListTokens(int page_size,
                                                         absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<ApiToken> rows, store_.ListApiTokens(after, size + 1));
  return CutPage(std::move(rows), size, [](const ApiToken& token) { return token.id; });
}

absl::StatusOr<ApiToken> AccessControl::Revoke(absl::string_view id) {
  return store_.UpdateApiToken(id, [](ApiToken& token) {
    token.revoked = true;
    return absl::OkStatus();
  });
}

std::string AccessControl::NewSecret() {
  return secrets_.NewSecret(SecretPrefix(kApiSecretKind, secrets_.NewId(kTokenIdBytes)));
}

absl::Status AccessControl::EnsureAdministrator(absl::string_view secret) {
  ApiToken token;
  token.id = IdOfSecret(kApiSecretKind, secret);
  if (token.id.empty()) {
    return absl::InvalidArgumentError("want the secret of an API token");
  }
  token.secret_digest = secrets_.DigestOf(secret);
  token.display_name = "administrator";
  token.role = Role::kAdmin;
  token.create_time = Stored(clock_.Now());
  const absl::Status inserted = store_.InsertApiToken(token);
  if (!absl::IsAlreadyExists(inserted)) {
    return inserted;
  }
  const absl::Status valid = Authenticate(secret).status();
  return absl::IsUnauthenticated(valid) ? absl::FailedPreconditionError(valid.message()) : valid;
}

}  // namespace fieldloop::provisioning
