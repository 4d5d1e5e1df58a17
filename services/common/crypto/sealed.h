// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_CRYPTO_SEALED_H_
#define FIELDLOOP_SERVICES_COMMON_CRYPTO_SEALED_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// Data that only who knows the passphrase can read or change: "FLSEAL1\n", salt (16 bytes), nonce
// (12), AES-256-GCM of the data, tag (16). The key is scrypt of the passphrase and the salt with
// N = 32768, r = 8, p = 1 (RFC 7914): 32 MiB and about a tenth of a second.
std::string Seal(absl::string_view passphrase, absl::string_view data);
// INVALID_ARGUMENT if it is not sealed data; PERMISSION_DENIED if the passphrase is wrong or the
// data was changed, which cannot be told apart.
absl::StatusOr<std::string> Unseal(absl::string_view passphrase, absl::string_view sealed);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_CRYPTO_SEALED_H_
