// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/enrollment_token.h"

#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/provisioning/domain/device.h"

namespace fieldloop::provisioning {
namespace {

absl::Status Denied(absl::string_view reason, absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, reason, message);
}

}  // namespace

EnrollmentToken::State StateOf(const EnrollmentToken& token, absl::Time now) {
  if (!token.used_by.empty()) {
    return EnrollmentToken::State::kUsed;
  }
  if (token.revoked) {
    return EnrollmentToken::State::kRevoked;
  }
  return token.expire_time <= now ? EnrollmentToken::State::kExpired
                                  : EnrollmentToken::State::kActive;
}

absl::Status ValidateNewEnrollmentToken(const EnrollmentToken& token, absl::Time now) {
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateText("enrollment_token.hardware_id", token.hardware_id, kMaxHardwareIdBytes));
  if (!token.device_id.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(
        ValidateDeviceId("enrollment_token.device_id", token.project, token.device_id));
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateAttributes(token.attributes));
  if (token.expire_time <= now || token.expire_time > now + kMaxTokenLifetime) {
    return absl::InvalidArgumentError(
        absl::StrCat("enrollment_token.expire_time: got ",
                     absl::FormatTime(token.expire_time, absl::UTCTimeZone()),
                     ", want a time to come, in at most 90 days"));
  }
  return absl::OkStatus();
}

absl::Status RevokeToken(EnrollmentToken& token) {
  if (!token.used_by.empty()) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kTokenUsed,
                           absl::StrCat("the token was used by device ", token.used_by,
                                        "; revoke the device instead"));
  }
  token.revoked = true;
  return absl::OkStatus();
}

absl::Status CheckEnrollment(const EnrollmentToken& token, absl::string_view hardware_id,
                             absl::string_view key_digest, absl::Time now) {
  if (token.revoked) {
    return Denied(kTokenRevoked, "the enrolment token was revoked");
  }
  if (!token.used_by.empty() && token.key_digest != key_digest) {
    return Denied(kTokenUsed, "the enrolment token was used with another key");
  }
  if (token.expire_time <= now) {
    return Denied(kTokenExpired, "the enrolment token has expired");
  }
  if (!token.hardware_id.empty() && token.hardware_id != hardware_id) {
    return Denied(kHardwareMismatch, absl::StrCat("hardware_id: got \"", hardware_id,
                                                  "\", the enrolment token is for another"));
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::provisioning
