// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/device.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {

bool Matches(const DeviceSelector& selector, const Device& device) {
  if (!selector.hardware_ids.empty() &&
      std::find(selector.hardware_ids.begin(), selector.hardware_ids.end(), device.hardware_id) ==
          selector.hardware_ids.end()) {
    return false;
  }
  return std::all_of(selector.attributes.begin(), selector.attributes.end(),
                     [&](const auto& wanted) {
                       const auto found = device.attributes.find(wanted.first);
                       return found != device.attributes.end() && found->second == wanted.second;
                     });
}

absl::StatusOr<std::string> DeviceOfCommonName(absl::string_view common_name) {
  const std::vector<std::string> parts = absl::StrSplit(common_name, '/');
  if (parts.size() != 2) {
    return absl::InvalidArgumentError("common name: want {project}/{device}");
  }
  std::string name = absl::StrCat("projects/", parts[0], "/devices/", parts[1]);
  FIELDLOOP_RETURN_IF_ERROR(
      ParseResourceName("common name", "projects/*/devices/*", name).status());
  return name;
}

absl::StatusOr<std::string> CommonNameOf(absl::string_view device) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName("device", "projects/*/devices/*", device));
  return absl::StrCat(parts[0], "/", parts[1]);
}

std::string ProjectOf(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  return parts.size() < 2 ? std::string(name) : absl::StrCat(parts[0], "/", parts[1]);
}

}  // namespace fieldloop::distribution
