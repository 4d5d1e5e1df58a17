// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/provisioning/domain/text.h"

namespace fieldloop::provisioning {

inline constexpr char kDeviceRevoked[] = "DEVICE_REVOKED";  // A reason; part of the API.

// An enrolled device.
struct Device {
  std::string project{};
  std::string id{};  // Unique in the project.
  std::string hardware_id{};
  Attributes attributes{};
  bool revoked = false;
  std::string revoke_reason{};
  absl::Time create_time{};
  absl::Time certificate_expire_time{};  // Of the newest certificate.
  std::int64_t revision = 0;             // Set by the store.

  friend bool operator==(const Device&, const Device&) = default;
};

// "{project}/{id}".
std::string CertificateName(const Device& device);

// OK if `id` is one and fits, with its project, into the 64 bytes of a common name (RFC 5280,
// ub-common-name); INVALID_ARGUMENT naming `field` otherwise.
absl::Status ValidateDeviceId(absl::string_view field, absl::string_view project,
                              absl::string_view id);

// Ends the trust in the device for good. A second time changes nothing: the first reason stands.
void RevokeDevice(Device& device, absl::string_view reason);

// PERMISSION_DENIED, reason DEVICE_REVOKED, if it is.
absl::Status CheckTrusted(const Device& device);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_H_
