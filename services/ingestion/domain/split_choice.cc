// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/split_choice.h"

#include <string>

#include "absl/strings/escaping.h"

namespace fieldloop::ingestion {
namespace {

constexpr int kKeysPerTestingKey = 5;

}  // namespace

Split SplitOfNewKey(std::int64_t testing_keys, std::int64_t all_keys) {
  return (testing_keys + 1) * kKeysPerTestingKey <= all_keys + 1 ? Split::kTesting
                                                                 : Split::kTraining;
}

Split SplitOfDigest(absl::string_view digest) {
  const std::string first = absl::HexStringToBytes(digest.substr(0, 2));
  const bool testing = static_cast<unsigned char>(first.front()) % kKeysPerTestingKey == 0;
  return testing ? Split::kTesting : Split::kTraining;
}

}  // namespace fieldloop::ingestion
