// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_STORAGE_SQL_TEXT_H_
#define FIELDLOOP_SERVICES_EVALUATION_STORAGE_SQL_TEXT_H_

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace fieldloop::evaluation {

// Keyset for lists that go from the newest number down: the last number of the page before, or more
// than any for "".
inline absl::StatusOr<long long> BelowNumber(const std::string& page_token) {
  if (page_token.empty()) {
    return std::numeric_limits<long long>::max();
  }
  long long number = 0;
  if (!absl::SimpleAtoi(page_token, &number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_token: got \"", page_token, "\", want a token of this call"));
  }
  return number;
}

inline absl::Time FromMicros(long long micros) { return absl::FromUnixMicros(micros); }
inline long long ToMicros(absl::Time time) { return absl::ToUnixMicros(time); }

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_STORAGE_SQL_TEXT_H_
