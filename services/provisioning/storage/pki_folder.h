// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_STORAGE_PKI_FOLDER_H_
#define FIELDLOOP_SERVICES_PROVISIONING_STORAGE_PKI_FOLDER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/provisioning/domain/device_authority.h"

namespace fieldloop::provisioning {

// The keys and certificates of an installation, as files of one folder:
//
//   services-ca.crt, services-ca.key   signs the services' certificates
//   devices-ca.crt, devices-ca.key     signs the devices' certificates
//   services/NAME.crt, NAME.key        one pair for each service: common name and DNS name NAME
//   admin.token                        secret of the first API token
//
// Keys and the token have mode 0600. Every file is written under a temporary name, synced, then
// renamed. An existing CA and an existing token are never written over. All PEM but the token.
class PkiFolder {
 public:
  // Makes what is missing, under a lock against another process that does the same, and renews
  // service certificates that end within 30 days, lack one of `alternative_names`, belong to
  // another key or come from another CA. FAILED_PRECONDITION if half of a CA is missing;
  // INVALID_ARGUMENT if a file is not what its name says or a name is no DNS name; UNAVAILABLE if a
  // file cannot be read or written.
  static absl::StatusOr<PkiFolder> Open(const std::string& path,
                                        const std::vector<std::string>& alternative_names,
                                        absl::Time now);

  // Lives as long as this object, moved or not.
  DeviceAuthority& device_authority() { return *device_authority_; }

  // Returns the secret in admin.token, or, if there is no such file, writes `make_secret()` there
  // and returns it.
  absl::StatusOr<std::string> AdminToken(absl::FunctionRef<std::string()> make_secret);

  // Paths of the files, whether they exist or not.
  std::string services_ca() const { return path_ + "/services-ca.crt"; }
  std::string service_certificate(const std::string& name) const {
    return path_ + "/services/" + name + ".crt";
  }
  std::string service_key(const std::string& name) const {
    return path_ + "/services/" + name + ".key";
  }
  std::string admin_token() const { return path_ + "/admin.token"; }

 private:
  PkiFolder(std::string path, std::unique_ptr<DeviceAuthority> device_authority);

  std::string path_;
  std::unique_ptr<DeviceAuthority> device_authority_;
};

// The services that get a certificate.
const std::vector<std::string>& ServiceNames();

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_STORAGE_PKI_FOLDER_H_
