// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/release.h"

#include <cstddef>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxHardwareIds = 4;
constexpr std::size_t kMaxHardwareId = 31;

}  // namespace

absl::Status ValidateHardwareIds(const std::vector<std::string>& hardware_ids) {
  if (hardware_ids.size() > kMaxHardwareIds) {
    return absl::InvalidArgumentError(absl::StrCat("hardware_ids: got ", hardware_ids.size(),
                                                   ", want at most ", kMaxHardwareIds));
  }
  std::set<std::string> seen;
  for (const std::string& id : hardware_ids) {
    if (id.empty() || id.size() > kMaxHardwareId) {
      return absl::InvalidArgumentError(
          absl::StrCat("hardware_ids: got ", id.size(), " bytes, want 1 to ", kMaxHardwareId));
    }
    if (!seen.insert(id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("hardware_ids: got \"", absl::CHexEscape(id), "\" twice, want each once"));
    }
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::build
