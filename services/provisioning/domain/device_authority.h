// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_AUTHORITY_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_AUTHORITY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::provisioning {

// The CA of the devices. Thread-safe.
class DeviceAuthority {
 public:
  DeviceAuthority() = default;
  DeviceAuthority(const DeviceAuthority&) = delete;
  DeviceAuthority& operator=(const DeviceAuthority&) = delete;
  virtual ~DeviceAuthority() = default;

  // The public key of a PKCS#10 request in DER. INVALID_ARGUMENT, "csr: ...", if the request does
  // not parse, is not signed by its own key, or the key is not on P-256.
  virtual absl::StatusOr<std::string> PublicKeyOf(absl::string_view csr) = 0;

  // A certificate, X.509 in DER, for the key of `csr`. The subject of `csr` is ignored. Errors as
  // PublicKeyOf.
  virtual absl::StatusOr<std::string> Issue(absl::string_view csr, absl::string_view common_name,
                                            absl::Time not_before, absl::Time not_after) = 0;

  // The CA's own certificate, X.509 in DER.
  virtual std::string Certificate() = 0;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_AUTHORITY_H_
