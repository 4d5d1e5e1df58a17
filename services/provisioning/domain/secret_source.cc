// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/secret_source.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace fieldloop::provisioning {

std::string SecretPrefix(absl::string_view kind, absl::string_view id) {
  return absl::StrCat(kind, "_", id, "_");
}

std::string IdOfSecret(absl::string_view kind, absl::string_view secret) {
  constexpr std::size_t kIdLength = 2 * kTokenIdBytes;
  if (!absl::ConsumePrefix(&secret, absl::StrCat(kind, "_")) || secret.size() <= kIdLength ||
      secret[kIdLength] != '_') {
    return "";
  }
  const absl::string_view id = secret.substr(0, kIdLength);
  const bool is_hex = std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
  });
  return is_hex ? std::string(id) : "";
}

}  // namespace fieldloop::provisioning
