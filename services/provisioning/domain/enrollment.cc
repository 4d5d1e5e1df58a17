// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/enrollment.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

constexpr int kDeviceIdBytes = 4;
// Ids are random; a fleet so large that this many in a row are taken needs longer ones.
constexpr int kMaxIdAttempts = 16;
// A certificate is good from a while ago: not every server's clock is right. The while is a small
// part of its life, two thirds of which must not be over when the device gets it: it would renew it
// at once.
constexpr absl::Duration kMaxClockSkew = absl::Hours(1);
constexpr int kClockSkewDivisor = 10;

absl::Status UnknownToken() {
  return ErrorWithReason(absl::StatusCode::kPermissionDenied, kTokenUnknown,
                         "no such enrolment token in this project");
}

// Stored times have microseconds; what is returned must equal what is read later.
absl::Time Stored(absl::Time time) { return absl::FromUnixMicros(absl::ToUnixMicros(time)); }

std::string KeyOf(const EnrollmentToken& token) {
  return absl::StrCat(absl::ToUnixMicros(token.create_time), "/", token.id);
}

absl::StatusOr<TokenCursor> CursorOf(absl::string_view page_token) {
  TokenCursor cursor;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(page_token));
  if (key.empty()) {
    return cursor;
  }
  const std::vector<std::string> parts = absl::StrSplit(key, absl::MaxSplits('/', 1));
  std::int64_t micros = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &micros)) {
    return absl::InvalidArgumentError(
        "page_token: want next_page_token of the page before, or nothing");
  }
  cursor.create_time = absl::FromUnixMicros(micros);
  cursor.id = parts[1];
  return cursor;
}

}  // namespace

Enrollment::Enrollment(ProvisioningStore& store, SecretSource& secrets, DeviceAuthority& authority,
                       ChangeSignal& changes, const Clock& clock,
                       absl::Duration certificate_lifetime)
    : store_(store),
      secrets_(secrets),
      authority_(authority),
      changes_(changes),
      clock_(clock),
      certificate_lifetime_(certificate_lifetime) {}

absl::StatusOr<NewEnrollmentToken> Enrollment::CreateToken(EnrollmentToken token) {
  const absl::Time now = clock_.Now();
  if (token.expire_time == absl::InfinitePast()) {
    token.expire_time = now + kDefaultTokenLifetime;
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateNewEnrollmentToken(token, now));
  token.expire_time = Stored(token.expire_time);
  token.create_time = Stored(now);
  token.revoked = false;
  token.used_by.clear();
  token.key_digest.clear();
  absl::Status inserted;
  for (int attempt = 0; attempt < kMaxIdAttempts; ++attempt) {
    token.id = secrets_.NewId(kTokenIdBytes);
    std::string secret = secrets_.NewSecret(SecretPrefix(kEnrollmentSecretKind, token.id));
    token.secret_digest = secrets_.DigestOf(secret);
    inserted = store_.InsertEnrollmentToken(token);
    if (inserted.ok()) {
      return NewEnrollmentToken{.token = std::move(token), .secret = std::move(secret)};
    }
    if (!absl::IsAlreadyExists(inserted) || ReasonOf(inserted) == kDeviceExists) {
      break;
    }
  }
  return inserted;
}

absl::StatusOr<Page<EnrollmentToken>> Enrollment::ListTokens(absl::string_view project,
                                                             int page_size,
                                                             absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const TokenCursor after, CursorOf(page_token));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<EnrollmentToken> rows,
                             store_.ListEnrollmentTokens(project, after, size + 1));
  return CutPage(std::move(rows), size, KeyOf);
}

absl::StatusOr<EnrollmentToken> Enrollment::Revoke(absl::string_view project,
                                                   absl::string_view id) {
  return store_.UpdateEnrollmentToken(project, id, RevokeToken);
}

absl::StatusOr<Enrolled> Enrollment::Enroll(absl::string_view project, absl::string_view secret,
                                            absl::string_view csr, absl::string_view hardware_id) {
  if (hardware_id.empty()) {
    return absl::InvalidArgumentError("hardware_id: got nothing, want what the device is");
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateText("hardware_id", hardware_id, kMaxHardwareIdBytes));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, authority_.PublicKeyOf(csr));
  const std::string key_digest = secrets_.DigestOf(key);
  const std::string secret_digest = secrets_.DigestOf(secret);
  const std::string token_id = IdOfSecret(kEnrollmentSecretKind, secret);
  if (token_id.empty()) {
    return UnknownToken();
  }
  const absl::Time now = clock_.Now();
  bool id_was_made = false;
  const auto decide = [&](EnrollmentToken& token,
                          const Device* enrolled) -> absl::StatusOr<Device> {
    if (!secrets_.SameDigest(token.secret_digest, secret_digest) || token.project != project) {
      return UnknownToken();
    }
    FIELDLOOP_RETURN_IF_ERROR(CheckEnrollment(token, hardware_id, key_digest, now));
    Device device;
    if (enrolled != nullptr) {
      FIELDLOOP_RETURN_IF_ERROR(CheckTrusted(*enrolled));
      device = *enrolled;
    } else {
      id_was_made = token.device_id.empty();
      device.project = token.project;
      device.id =
          id_was_made ? absl::StrCat("dev-", secrets_.NewId(kDeviceIdBytes)) : token.device_id;
      device.hardware_id = std::string(hardware_id);
      device.attributes = token.attributes;
      device.create_time = Stored(now);
      token.used_by = device.id;
      token.key_digest = key_digest;
    }
    device.certificate_expire_time = absl::FromTimeT(absl::ToTimeT(now + certificate_lifetime_));
    return device;
  };
  absl::StatusOr<Device> device = absl::UnknownError("");
  for (int attempt = 0; attempt < kMaxIdAttempts; ++attempt) {
    device = store_.Enroll(token_id, decide);
    if (!absl::IsAlreadyExists(device.status()) || !id_was_made) {
      break;
    }
  }
  if (absl::IsNotFound(device.status())) {
    return UnknownToken();
  }
  FIELDLOOP_RETURN_IF_ERROR(device.status());
  changes_.Notify();
  return Issue(*std::move(device), csr, now);
}

absl::StatusOr<Enrolled> Enrollment::Renew(absl::string_view project, absl::string_view id,
                                           absl::string_view csr) {
  FIELDLOOP_RETURN_IF_ERROR(authority_.PublicKeyOf(csr).status());
  const absl::Time now = clock_.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(Device device,
                             store_.UpdateDevice(project, id, [&](Device& changed) -> absl::Status {
                               FIELDLOOP_RETURN_IF_ERROR(CheckTrusted(changed));
                               changed.certificate_expire_time =
                                   absl::FromTimeT(absl::ToTimeT(now + certificate_lifetime_));
                               return absl::OkStatus();
                             }));
  changes_.Notify();
  return Issue(std::move(device), csr, now);
}

absl::StatusOr<Enrolled> Enrollment::Issue(Device device, absl::string_view csr, absl::Time now) {
  const absl::Duration skew = std::min(kMaxClockSkew, certificate_lifetime_ / kClockSkewDivisor);
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::string certificate,
      authority_.Issue(csr, CertificateName(device), now - skew, device.certificate_expire_time));
  return Enrolled{.device = std::move(device),
                  .certificate = std::move(certificate),
                  .issuer = authority_.Certificate()};
}

}  // namespace fieldloop::provisioning
