// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_STORAGE_OPENSSL_SECRET_SOURCE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_STORAGE_OPENSSL_SECRET_SOURCE_H_

#include "services/provisioning/domain/secret_source.h"

namespace fieldloop::provisioning {

// The system's cryptographic randomness and OpenSSL's SHA-256.
class OpensslSecretSource final : public SecretSource {
 public:
  std::string NewId(int bytes) override;
  std::string NewSecret(absl::string_view prefix) override;
  std::string DigestOf(absl::string_view data) override;
  bool SameDigest(absl::string_view a, absl::string_view b) override;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_STORAGE_OPENSSL_SECRET_SOURCE_H_
