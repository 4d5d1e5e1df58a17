// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_CRYPTO_SIGNING_H_
#define FIELDLOOP_SERVICES_COMMON_CRYPTO_SIGNING_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// A P-256 key that signs documents as proto/fieldloop/agent/v1/trust.proto says. Thread-safe.
class SigningKey {
 public:
  static SigningKey Generate();
  // From and to PEM (PKCS#8). INVALID_ARGUMENT if it is not a P-256 private key.
  static absl::StatusOr<SigningKey> FromPem(absl::string_view pem);
  std::string ToPem() const;

  ~SigningKey();
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;

  // 0x04 || x || y, 65 bytes.
  std::string PublicKey() const;
  // Signs ASCII `context` || 0x00 || `payload`. Returns r || s, 64 bytes.
  std::string Sign(absl::string_view context, absl::string_view payload) const;

 private:
  struct State;
  explicit SigningKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

inline constexpr char kRootContext[] = "fieldloop.root.v1";
inline constexpr char kManifestContext[] = "fieldloop.manifest.v1";
inline constexpr char kDirectiveContext[] = "fieldloop.directive.v1";

// First 8 bytes of the SHA-256 of a public key.
std::string KeyIdOf(absl::string_view public_key);

// True if `signature` (r || s) by `public_key` (65 bytes) covers `context` || 0x00 || `payload`.
bool VerifySignature(absl::string_view public_key, absl::string_view context,
                     absl::string_view payload, absl::string_view signature);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_CRYPTO_SIGNING_H_
