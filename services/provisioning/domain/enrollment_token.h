// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ENROLLMENT_TOKEN_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ENROLLMENT_TOKEN_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/provisioning/domain/text.h"

namespace fieldloop::provisioning {

// Reasons of the errors below and of enrolment. Part of the API.
inline constexpr char kTokenUnknown[] = "TOKEN_UNKNOWN";
inline constexpr char kTokenUsed[] = "TOKEN_USED";
inline constexpr char kTokenExpired[] = "TOKEN_EXPIRED";
inline constexpr char kTokenRevoked[] = "TOKEN_REVOKED";
inline constexpr char kHardwareMismatch[] = "HARDWARE_MISMATCH";
inline constexpr char kDeviceExists[] = "DEVICE_EXISTS";

inline constexpr absl::Duration kDefaultTokenLifetime = absl::Hours(24);
inline constexpr absl::Duration kMaxTokenLifetime = absl::Hours(24 * 90);

// A permission to enrol one device. The secret itself is kept nowhere.
struct EnrollmentToken {
  enum class State : std::uint8_t { kActive, kUsed, kExpired, kRevoked };

  std::string project{};
  std::string id{};             // Unique in the installation.
  std::string secret_digest{};  // SecretSource::DigestOf the secret.
  std::string hardware_id{};    // Empty: any.
  std::string device_id{};      // Empty: one is made.
  Attributes attributes{};
  absl::Time expire_time{};
  absl::Time create_time{};
  bool revoked = false;
  std::string used_by{};     // Id of the device; empty until used.
  std::string key_digest{};  // Of the public key that the device enrolled with; empty until used.

  friend bool operator==(const EnrollmentToken&, const EnrollmentToken&) = default;
};

EnrollmentToken::State StateOf(const EnrollmentToken& token, absl::Time now);

// OK if `token` may be created at `now`; INVALID_ARGUMENT naming the first bad field otherwise.
absl::Status ValidateNewEnrollmentToken(const EnrollmentToken& token, absl::Time now);

// Makes the token void; a second time changes nothing. FAILED_PRECONDITION, reason TOKEN_USED,
// leaves it untouched.
absl::Status RevokeToken(EnrollmentToken& token);

// OK if a device of this hardware with this key may enrol with the token, or, when the token was
// used with this very key, may have its answer again. PERMISSION_DENIED with one of the reasons
// above.
absl::Status CheckEnrollment(const EnrollmentToken& token, absl::string_view hardware_id,
                             absl::string_view key_digest, absl::Time now);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ENROLLMENT_TOKEN_H_
