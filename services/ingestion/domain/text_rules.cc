// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/text_rules.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMaxQuotedBytes = 60;
constexpr std::size_t kMaxMetadataPairs = 32;
constexpr std::size_t kMaxMetadataKeyBytes = 39;
constexpr std::size_t kMaxMetadataValueBytes = 200;

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    std::size_t more = 0;
    unsigned int code = 0;
    unsigned int least = 0;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if ((lead & 0xe0U) == 0xc0) {
      more = 1;
      code = lead & 0x1fU;
      least = 0x80;
    } else if ((lead & 0xf0U) == 0xe0) {
      more = 2;
      code = lead & 0x0fU;
      least = 0x800;
    } else if ((lead & 0xf8U) == 0xf0) {
      more = 3;
      code = lead & 0x07U;
      least = 0x10000;
    } else {
      return false;
    }
    if (text.size() - i <= more) {
      return false;
    }
    for (std::size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0U) != 0x80) {
        return false;
      }
      code = (code << 6U) | (next & 0x3fU);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kMaxQuotedBytes)),
                      text.size() > kMaxQuotedBytes ? "...\"" : "\"");
}

absl::Status ValidateText(absl::string_view field, absl::string_view text, std::size_t min_bytes,
                          std::size_t max_bytes) {
  if (text.size() < min_bytes || text.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", text.size(), " bytes, want ", min_bytes, " to ", max_bytes));
  }
  if (!IsUtf8(text) || std::any_of(text.begin(), text.end(), IsControl)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", Quoted(text), ", want UTF-8 without control characters"));
  }
  return absl::OkStatus();
}

absl::Status ValidateMetadata(absl::string_view field,
                              const std::map<std::string, std::string>& metadata) {
  if (metadata.size() > kMaxMetadataPairs) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", metadata.size(), " pairs, want at most ", kMaxMetadataPairs));
  }
  for (const auto& [key, value] : metadata) {
    FIELDLOOP_RETURN_IF_ERROR(
        ValidateText(absl::StrCat(field, " key ", Quoted(key)), key, 1, kMaxMetadataKeyBytes));
    if (value.size() > kMaxMetadataValueBytes) {
      return absl::InvalidArgumentError(absl::StrCat(field, "[", Quoted(key), "]: got ",
                                                     value.size(), " bytes, want at most ",
                                                     kMaxMetadataValueBytes));
    }
    // A NUL cannot be kept as text in every database.
    if (!IsUtf8(value) || value.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(field, "[", Quoted(key), "]: got ",
                                                     Quoted(value), ", want UTF-8 without NUL"));
    }
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::ingestion
