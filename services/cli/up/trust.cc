// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/up/trust.h"

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fieldloop/agent/v1/trust.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/cli/commands/arguments.h"
#include "services/common/crypto/signing.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

absl::StatusOr<SigningKey> KeyAt(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    SigningKey key = SigningKey::Generate();
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(path, key.ToPem(), 0600));
    return key;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string pem, ReadFile(path));
  absl::StatusOr<SigningKey> key = SigningKey::FromPem(pem);
  if (!key.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", key.status().message()));
  }
  return key;
}

void AddRole(agent::v1::RootDocument& root, const SigningKey& key, agent::v1::TrustedRole& role) {
  role.add_key_indices(static_cast<std::uint32_t>(root.keys_size()));
  role.set_threshold(1);
  root.add_keys()->set_public_key(key.PublicKey());
}

}  // namespace

absl::Status MakeTrust(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make folder ", folder, ": ", error.message()));
  }
  const std::string root_path = folder + "/root.bin";
  if (std::filesystem::exists(root_path)) {
    return absl::OkStatus();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const SigningKey root_key, KeyAt(folder + "/root.key"));
  FIELDLOOP_ASSIGN_OR_RETURN(const SigningKey release_key, KeyAt(folder + "/release.key"));
  FIELDLOOP_ASSIGN_OR_RETURN(const SigningKey directive_key, KeyAt(folder + "/directive.key"));
  agent::v1::RootDocument root;
  root.set_version(1);
  AddRole(root, root_key, *root.mutable_root());
  AddRole(root, release_key, *root.mutable_release());
  AddRole(root, directive_key, *root.mutable_directive());
  agent::v1::SignedDocument document;
  document.set_payload(root.SerializeAsString());
  agent::v1::Signature& signature = *document.add_signatures();
  signature.set_key_id(KeyIdOf(root_key.PublicKey()));
  signature.set_value(root_key.Sign(kRootContext, document.payload()));
  return WriteFile(root_path, document.SerializeAsString());
}

}  // namespace fieldloop::cli
