// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/artifact.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/sha256_hex.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxVersion = 31;

}  // namespace

absl::string_view NameOf(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::kModel:
      return "model";
    case ComponentKind::kFirmware:
      return "firmware";
    case ComponentKind::kConfiguration:
      return "configuration";
  }
  return "";
}

absl::Status ValidateArtifactVersion(absl::string_view field, absl::string_view version) {
  const bool readable = std::all_of(version.begin(), version.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (version.empty() || version.size() > kMaxVersion || !readable) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": got \"", absl::CHexEscape(version),
                                                   "\", want 1 to ", kMaxVersion,
                                                   " printable characters without spaces"));
  }
  return absl::OkStatus();
}

absl::Status ValidateDigest(absl::string_view digest) {
  if (!IsSha256Hex(digest)) {
    return absl::InvalidArgumentError("digest: want 64 lower-case hex digits");
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::build
