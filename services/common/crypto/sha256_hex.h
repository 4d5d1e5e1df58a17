// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_CRYPTO_SHA256_HEX_H_
#define FIELDLOOP_SERVICES_COMMON_CRYPTO_SHA256_HEX_H_

#include "absl/strings/string_view.h"

namespace fieldloop {

// Whether it is a SHA-256 as names, paths and keys hold it: 64 lower-case hex digits.
bool IsSha256Hex(absl::string_view digest);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_CRYPTO_SHA256_HEX_H_
