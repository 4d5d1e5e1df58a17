// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_TRANSPORT_SIGNATURE_KEYS_H_
#define FIELDLOOP_SERVICES_INGESTION_TRANSPORT_SIGNATURE_KEYS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace fieldloop::ingestion {

// Reads the keys that signed uploads are checked with: one line "PROJECT KEY" for each project,
// where PROJECT is its id; blank lines and lines that begin with # are skipped. INVALID_ARGUMENT
// naming the line, never the key; NOT_FOUND if the file cannot be read.
absl::StatusOr<std::map<std::string, std::string>> ReadSignatureKeys(const std::string& path);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_TRANSPORT_SIGNATURE_KEYS_H_
