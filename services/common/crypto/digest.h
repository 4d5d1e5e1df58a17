// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_CRYPTO_DIGEST_H_
#define FIELDLOOP_SERVICES_COMMON_CRYPTO_DIGEST_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void Update(absl::string_view data);
  // 32 bytes. Call once.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 32 bytes.
std::string Sha256Of(absl::string_view data);
// 32 bytes (RFC 2104).
std::string HmacSha256(absl::string_view key, absl::string_view data);
// Lower-case hex, and back; INVALID_ARGUMENT if it is not hex.
std::string ToHex(absl::string_view bytes);
absl::StatusOr<std::string> FromHex(absl::string_view hex);
// `size` bytes of the system's cryptographic randomness.
std::string RandomBytes(int size);
// A secret for people and files: `prefix` and 43 characters of base64url, 256 bits.
std::string RandomSecret(absl::string_view prefix);
// Compares without telling by its time where the difference is.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_CRYPTO_DIGEST_H_
