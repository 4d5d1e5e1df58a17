// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_HOME_FILES_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_HOME_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::cli {

// A file below the installation's folder, with its content.
struct HomeFile {
  std::string path;  // "pki/devices-ca.crt".
  std::string content;
};

// The files of `home`/pki and `home`/trust that make an installation the one that its devices know.
struct HomeFiles {
  std::vector<HomeFile> open;     // Certificates and root documents.
  std::vector<HomeFile> secrets;  // Keys of the authorities and the services, the admin token.
};
// The keys that decide what devices may run, root.key and release.key, are among the secrets only
// `with_release_keys`. None if there are no such folders. UNAVAILABLE.
absl::StatusOr<HomeFiles> ReadHomeFiles(const std::string& home, bool with_release_keys);

// Writes files below `home`, secrets for their owner only. UNAVAILABLE; INVALID_ARGUMENT if a path
// leads elsewhere than to pki or trust.
absl::Status WriteHomeFiles(const std::string& home, const std::vector<HomeFile>& files,
                            bool secret);

// Secrets as one text, to be sealed.
std::string BundleText(const std::vector<HomeFile>& files);
absl::StatusOr<std::vector<HomeFile>> ParseBundle(const std::string& text);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_HOME_FILES_H_
