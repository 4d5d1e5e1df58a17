// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_DEVICE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_DEVICE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::distribution {

// What provisioning says of a device.
struct Device {
  std::string name;  // "projects/{p}/devices/{id}".
  std::string hardware_id;
  std::map<std::string, std::string> attributes;
  bool revoked = false;
  std::int64_t revision = 0;  // Counts up with every change of any device.

  friend bool operator==(const Device&, const Device&) = default;
};

// Selects devices: all that is set must hold.
struct DeviceSelector {
  std::map<std::string, std::string> attributes;
  std::vector<std::string> hardware_ids;  // Empty: any.

  friend bool operator==(const DeviceSelector&, const DeviceSelector&) = default;
};

bool Matches(const DeviceSelector& selector, const Device& device);

// Names of a device: the common name of its certificate is "{p}/{id}".
// INVALID_ARGUMENT if the text is not of that form.
absl::StatusOr<std::string> DeviceOfCommonName(absl::string_view common_name);
absl::StatusOr<std::string> CommonNameOf(absl::string_view device);
// "projects/{p}" of "projects/{p}/...".
std::string ProjectOf(absl::string_view name);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_DEVICE_H_
