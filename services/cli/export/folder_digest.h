// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_EXPORT_FOLDER_DIGEST_H_
#define FIELDLOOP_SERVICES_CLI_EXPORT_FOLDER_DIGEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace fieldloop::cli {

// Files of an exported folder that say what is in it.
inline constexpr char kIndexFile[] = "info.labels";
inline constexpr char kVersionFile[] = "dataset.json";

// What a folder is, and what it says it is.
struct FolderDigest {
  std::string version;   // Name of the dataset version in its dataset.json.
  std::string stated;    // Digest in its dataset.json.
  std::string computed;  // Digest of its files, labels and sides.
  std::int64_t samples = 0;
  std::vector<std::string> wrong;  // Files that are missing or not as the index says.
};

// Computes the digest of an exported folder from its files and its index, as docs/datasets.md says.
// INVALID_ARGUMENT if index or dataset.json cannot be read.
absl::StatusOr<FolderDigest> DigestOfFolder(const std::string& folder);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_EXPORT_FOLDER_DIGEST_H_
