// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_SPLIT_CHOICE_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_SPLIT_CHOICE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// The side of a new split key, given how many keys of the same name there are and how many of them
// are for testing: testing while that keeps testing at or below one key in five, so the fifth, the
// tenth and so on; training otherwise. The choice is stored with the key and never changes.
Split SplitOfNewKey(std::int64_t testing_keys, std::int64_t all_keys);

// The side of a sample that stands for itself: testing if the first byte of its digest (hex) is a
// multiple of 5, which is about one in five.
Split SplitOfDigest(absl::string_view digest);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_SPLIT_CHOICE_H_
