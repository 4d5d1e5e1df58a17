// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ENROLLMENT_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ENROLLMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/provisioning/domain/device_authority.h"
#include "services/provisioning/domain/page.h"
#include "services/provisioning/domain/provisioning_store.h"
#include "services/provisioning/domain/secret_source.h"

namespace fieldloop::provisioning {

struct NewEnrollmentToken {
  EnrollmentToken token;
  std::string secret;  // Shown once.
};

// A device with the certificate that it was just given.
struct Enrolled {
  Device device;
  std::string certificate;  // X.509, DER.
  std::string issuer;       // X.509, DER.
};

// Lets devices in: tokens, first certificates and renewed ones. Thread-safe.
class Enrollment {
 public:
  // All must outlive this object. Certificates are good for `certificate_lifetime`.
  Enrollment(ProvisioningStore& store, SecretSource& secrets, DeviceAuthority& authority,
             ChangeSignal& changes, const Clock& clock, absl::Duration certificate_lifetime);

  // `token` carries project, hardware_id, device_id, attributes and expire_time (InfinitePast: the
  // default). INVALID_ARGUMENT; NOT_FOUND if there is no such project; ALREADY_EXISTS, reason
  // DEVICE_EXISTS, if there is a device of that id.
  absl::StatusOr<NewEnrollmentToken> CreateToken(EnrollmentToken token);
  // Newest first. INVALID_ARGUMENT.
  absl::StatusOr<Page<EnrollmentToken>> ListTokens(absl::string_view project, int page_size,
                                                   absl::string_view page_token);
  // NOT_FOUND; FAILED_PRECONDITION, reason TOKEN_USED.
  absl::StatusOr<EnrollmentToken> Revoke(absl::string_view project, absl::string_view id);

  // Exchanges a token and a CSR for a device and its certificate. INVALID_ARGUMENT (csr,
  // hardware_id); PERMISSION_DENIED with a reason of enrollment_token.h or DEVICE_REVOKED;
  // ALREADY_EXISTS, reason DEVICE_EXISTS, if the token names a device that joined meanwhile. A
  // token whose key repeats gets the same device and a fresh certificate.
  absl::StatusOr<Enrolled> Enroll(absl::string_view project, absl::string_view secret,
                                  absl::string_view csr, absl::string_view hardware_id);

  // Issues a certificate for a new key of an enrolled device; the older ones stay good until they
  // end, so that a device that lost the answer comes back with its old one. INVALID_ARGUMENT (csr),
  // NOT_FOUND, PERMISSION_DENIED with reason DEVICE_REVOKED.
  absl::StatusOr<Enrolled> Renew(absl::string_view project, absl::string_view id,
                                 absl::string_view csr);

 private:
  absl::StatusOr<Enrolled> Issue(Device device, absl::string_view csr, absl::Time now);

  ProvisioningStore& store_;
  SecretSource& secrets_;
  DeviceAuthority& authority_;
  ChangeSignal& changes_;
  const Clock& clock_;
  const absl::Duration certificate_lifetime_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_ENROLLMENT_H_
