// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/trust.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/build/domain/reasons.h"
#include "services/common/crypto/signing.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxPayload = 768;
constexpr std::size_t kMaxSignatures = 4;
constexpr std::size_t kMaxKeys = 8;
constexpr std::size_t kMaxRoleKeys = 4;
constexpr std::size_t kPublicKeyBytes = 65;

// Ids of the different keys of a role.
std::set<std::string> KeyIds(const Root& root, const TrustedRole& role) {
  std::set<std::string> ids;
  for (const std::uint32_t index : role.key_indices) {
    ids.insert(KeyIdOf(root.keys[index]));
  }
  return ids;
}

std::string KeyOf(const Root& root, const TrustedRole& role, absl::string_view key_id) {
  for (const std::uint32_t index : role.key_indices) {
    if (KeyIdOf(root.keys[index]) == key_id) {
      return root.keys[index];
    }
  }
  return "";
}

// True if as many different keys of `role` as its threshold says have signed.
bool MeetsThreshold(const Root& root, const TrustedRole& role, absl::string_view context,
                    absl::string_view payload, const std::vector<Signature>& signatures) {
  std::set<std::string> signers;
  for (const Signature& signature : signatures) {
    const std::string key = KeyOf(root, role, signature.key_id);
    if (!key.empty() && VerifySignature(key, context, payload, signature.value)) {
      signers.insert(signature.key_id);
    }
  }
  return signers.size() >= role.threshold;
}

absl::Status CheckRole(const Root& root, absl::string_view name, const TrustedRole& role) {
  const std::string field = absl::StrCat("root ", root.version, ": ", name);
  if (role.key_indices.empty() || role.key_indices.size() > kMaxRoleKeys) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ".key_indices: got ", role.key_indices.size(), ", want 1 to ", kMaxRoleKeys));
  }
  for (const std::uint32_t index : role.key_indices) {
    if (index >= root.keys.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ".key_indices: got ", index, ", want below ", root.keys.size()));
    }
  }
  const std::size_t different = KeyIds(root, role).size();
  if (role.threshold < 1 || role.threshold > different) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".threshold: got ", role.threshold, ", want 1 to ", different));
  }
  return absl::OkStatus();
}

absl::Status CheckRoot(const Root& root) {
  if (root.version < 1) {
    return absl::InvalidArgumentError("root: version: got 0, want at least 1");
  }
  const std::string field = absl::StrCat("root ", root.version);
  if (root.payload.size() > kMaxPayload) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": payload: got ", root.payload.size(),
                                                   " bytes, want at most ", kMaxPayload));
  }
  if (root.signatures.size() > kMaxSignatures) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": signatures: got ", root.signatures.size(), ", want at most ", kMaxSignatures));
  }
  if (root.keys.empty() || root.keys.size() > kMaxKeys) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": keys: got ", root.keys.size(), ", want 1 to ", kMaxKeys));
  }
  for (const std::string& key : root.keys) {
    if (key.size() != kPublicKeyBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": keys: got ", key.size(), " bytes, want ", kPublicKeyBytes));
    }
  }
  FIELDLOOP_RETURN_IF_ERROR(CheckRole(root, "root", root.root));
  FIELDLOOP_RETURN_IF_ERROR(CheckRole(root, "release", root.release));
  FIELDLOOP_RETURN_IF_ERROR(CheckRole(root, "directive", root.directive));
  if (!MeetsThreshold(root, root.root, kRootContext, root.payload, root.signatures)) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": signatures: fewer valid ones of its own root keys than ", root.root.threshold));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RootChain> RootChain::Make(std::vector<Root> roots) {
  std::sort(roots.begin(), roots.end(),
            [](const Root& a, const Root& b) { return a.version < b.version; });
  for (std::size_t i = 0; i < roots.size(); ++i) {
    FIELDLOOP_RETURN_IF_ERROR(CheckRoot(roots[i]));
    if (i == 0) {
      continue;
    }
    const Root& before = roots[i - 1];
    if (roots[i].version != before.version + 1) {
      return absl::InvalidArgumentError(absl::StrCat("root: got version ", roots[i].version,
                                                     " after ", before.version, ", want ",
                                                     before.version + 1));
    }
    if (!MeetsThreshold(before, before.root, kRootContext, roots[i].payload, roots[i].signatures)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "root ", roots[i].version, ": signatures: fewer valid ones of the root keys of version ",
          before.version, " than ", before.root.threshold));
    }
  }
  RootChain chain;
  chain.roots_ = std::move(roots);
  return chain;
}

absl::Status RootChain::CheckCurrent(absl::Time now) const {
  if (roots_.empty()) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kRootNotConfigured,
                           "no root document is configured: start the service with --root");
  }
  const Root& newest = roots_.back();
  if (newest.expires_s != 0 && absl::ToUnixSeconds(now) > 0 &&
      static_cast<std::uint64_t>(absl::ToUnixSeconds(now)) > newest.expires_s) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kRootExpired,
                           absl::StrCat("root document ", newest.version, " has expired"));
  }
  return absl::OkStatus();
}

std::string RootChain::ReleaseKey(absl::string_view key_id) const {
  return roots_.empty() ? "" : KeyOf(roots_.back(), roots_.back().release, key_id);
}

bool RootChain::IsReleaseSigned(absl::string_view payload, const std::vector<Signature>& signatures,
                                absl::Time now) const {
  return CheckCurrent(now).ok() && MeetsThreshold(roots_.back(), roots_.back().release,
                                                  kManifestContext, payload, signatures);
}

}  // namespace fieldloop::build
