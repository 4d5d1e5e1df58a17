// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_TEXT_RULES_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_TEXT_RULES_H_

#include <cstddef>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fieldloop::ingestion {

// True if `text` is well-formed UTF-8 (no overlong forms, no surrogates).
bool IsUtf8(absl::string_view text);

// `text` in quotes, cut to a length that fits a message, with what is not printable ASCII escaped.
std::string Quoted(absl::string_view text);

// OK if `text` has `min_bytes` to `max_bytes` bytes of UTF-8 without control characters;
// INVALID_ARGUMENT naming `field` otherwise.
absl::Status ValidateText(absl::string_view field, absl::string_view text, std::size_t min_bytes,
                          std::size_t max_bytes);

// At most 32 pairs, keys of 1 to 39 bytes as in ValidateText, values of at most 200 bytes of UTF-8.
absl::Status ValidateMetadata(absl::string_view field,
                              const std::map<std::string, std::string>& metadata);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_TEXT_RULES_H_
