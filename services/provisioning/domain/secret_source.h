// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_SECRET_SOURCE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_SECRET_SOURCE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace fieldloop::provisioning {

// Randomness and one-way digests, from outside so that tests can foresee them. Thread-safe.
class SecretSource {
 public:
  SecretSource() = default;
  SecretSource(const SecretSource&) = delete;
  SecretSource& operator=(const SecretSource&) = delete;
  virtual ~SecretSource() = default;

  // `bytes` random bytes as lower-case hex.
  virtual std::string NewId(int bytes) = 0;
  // `prefix` and 43 characters of base64url, 256 random bits.
  virtual std::string NewSecret(absl::string_view prefix) = 0;
  // SHA-256 as lower-case hex. Secrets have 256 random bits, so it needs neither salt nor
  // stretching.
  virtual std::string DigestOf(absl::string_view data) = 0;
  // Compares in a time that does not tell where the difference is.
  virtual bool SameDigest(absl::string_view a, absl::string_view b) = 0;
};

// A secret is "{kind}_{id}_{random}": its token is found by the id, in the open, and then the
// digest of the whole is compared in constant time. Both kinds are 59 bytes, which fits the device
// protocol.
inline constexpr char kEnrollmentSecretKind[] = "fle";
inline constexpr char kApiSecretKind[] = "fla";
inline constexpr int kTokenIdBytes = 6;

// "{kind}_{id}_", what NewSecret gets as its prefix.
std::string SecretPrefix(absl::string_view kind, absl::string_view id);

// The id in a secret of this kind; "" if it is not one.
std::string IdOfSecret(absl::string_view kind, absl::string_view secret);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_SECRET_SOURCE_H_
