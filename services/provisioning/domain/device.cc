// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/device.h"

#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

// One less than X.509 allows: Directive.device_id holds 63 bytes.
constexpr std::size_t kMaxCommonNameBytes = 63;

}  // namespace

std::string CertificateName(const Device& device) {
  return absl::StrCat(device.project, "/", device.id);
}

absl::Status ValidateDeviceId(absl::string_view field, absl::string_view project,
                              absl::string_view id) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateId(field, id));
  if (project.size() + 1 + id.size() > kMaxCommonNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": got ", id.size(), " characters, want at most ",
        kMaxCommonNameBytes - 1 - project.size(), ", so that a certificate holds project and id"));
  }
  return absl::OkStatus();
}

void RevokeDevice(Device& device, absl::string_view reason) {
  if (!device.revoked) {
    device.revoked = true;
    device.revoke_reason = std::string(reason);
  }
}

absl::Status CheckTrusted(const Device& device) {
  if (device.revoked) {
    return ErrorWithReason(absl::StatusCode::kPermissionDenied, kDeviceRevoked,
                           absl::StrCat("device ", device.id, " was revoked"));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::provisioning
