// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

constexpr std::size_t kMaxAttributes = 32;
constexpr std::size_t kMaxKeyBytes = 39;

bool IsKeyCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
}

bool IsKey(absl::string_view key) {
  return !key.empty() && key.size() <= kMaxKeyBytes &&
         absl::ascii_islower(static_cast<unsigned char>(key.front())) &&
         std::all_of(key.begin(), key.end(), IsKeyCharacter);
}

}  // namespace

absl::Status ValidateText(absl::string_view field, absl::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", text.size(), " bytes, want at most ", max_bytes));
  }
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got \"", absl::CHexEscape(text), "\", want no control characters"));
  }
  return absl::OkStatus();
}

absl::Status ValidateAttributes(const Attributes& attributes) {
  if (attributes.size() > kMaxAttributes) {
    return absl::InvalidArgumentError(
        absl::StrCat("attributes: got ", attributes.size(), ", want at most ", kMaxAttributes));
  }
  for (const auto& [key, value] : attributes) {
    if (!IsKey(key)) {
      return absl::InvalidArgumentError(absl::StrCat("attributes: got key \"",
                                                     absl::CHexEscape(key.substr(0, 80)),
                                                     "\", want [a-z][a-z0-9_.-]{0,38}"));
    }
    FIELDLOOP_RETURN_IF_ERROR(ValidateText(absl::StrCat("attributes.", key), value));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::provisioning
