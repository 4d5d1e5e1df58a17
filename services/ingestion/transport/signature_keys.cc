// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/signature_keys.h"

#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/resource/resource_name.h"

namespace fieldloop::ingestion {

absl::StatusOr<std::map<std::string, std::string>> ReadSignatureKeys(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read signature keys from ", path));
  }
  std::map<std::string, std::string> keys;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text.front() == '#') {
      continue;
    }
    const std::vector<std::string> parts = absl::StrSplit(text, ' ', absl::SkipWhitespace());
    if (parts.size() != 2 || !ValidateId("project", parts[0]).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": line ", number, ": want PROJECT and KEY, with a blank between"));
    }
    if (!keys.emplace(parts[0], parts[1]).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": line ", number, ": got project ", parts[0], " again"));
    }
  }
  return keys;
}

}  // namespace fieldloop::ingestion
