// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_TEXT_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_TEXT_H_

#include <cstddef>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fieldloop::provisioning {

// For people and filters.
using Attributes = std::map<std::string, std::string>;

inline constexpr std::size_t kMaxTextBytes = 200;
inline constexpr std::size_t kMaxHardwareIdBytes = 31;  // What the device protocol carries.

// OK if `text` has at most `max_bytes` bytes and no control character; INVALID_ARGUMENT naming
// `field` otherwise. The empty text is good.
absl::Status ValidateText(absl::string_view field, absl::string_view text,
                          std::size_t max_bytes = kMaxTextBytes);

// OK if there are at most 32, every key is [a-z][a-z0-9_.-]{0,38} and every value a good text of at
// most 200 bytes; INVALID_ARGUMENT otherwise.
absl::Status ValidateAttributes(const Attributes& attributes);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_TEXT_H_
