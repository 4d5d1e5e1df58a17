// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/openssl_secret_source.h"

#include "services/common/crypto/digest.h"

namespace fieldloop::provisioning {

std::string OpensslSecretSource::NewId(int bytes) { return ToHex(RandomBytes(bytes)); }

std::string OpensslSecretSource::NewSecret(absl::string_view prefix) {
  return RandomSecret(prefix);
}

std::string OpensslSecretSource::DigestOf(absl::string_view data) { return ToHex(Sha256Of(data)); }

bool OpensslSecretSource::SameDigest(absl::string_view a, absl::string_view b) {
  return ConstantTimeEquals(a, b);
}

}  // namespace fieldloop::provisioning
