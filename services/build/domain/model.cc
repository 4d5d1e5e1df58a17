// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/model.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxAlias = 39;

}  // namespace

absl::Status ValidateAlias(absl::string_view field, absl::string_view alias) {
  const bool good = !alias.empty() && alias.size() <= kMaxAlias &&
                    absl::ascii_islower(static_cast<unsigned char>(alias.front())) &&
                    std::all_of(alias.begin(), alias.end(), [](char c) {
                      return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                             absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-';
                    });
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got \"", absl::CHexEscape(alias.substr(0, 80)),
                     "\", want 1 to 39 characters of [a-z0-9-] that start with a letter"));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::build
