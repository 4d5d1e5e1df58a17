// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_UTF8_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace fieldloop::build {

// `text` with every byte that is not part of valid UTF-8, and every control character but line
// break and tab, replaced by "?": what a program printed can hold anything, a protobuf string
// cannot.
std::string ToUtf8(absl::string_view text);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_UTF8_H_
