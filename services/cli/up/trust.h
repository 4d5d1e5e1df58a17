// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_UP_TRUST_H_
#define FIELDLOOP_SERVICES_CLI_UP_TRUST_H_

#include <string>

#include "absl/status/status.h"

namespace fieldloop::cli {

// Makes what is missing in `folder`: root.key, release.key and directive.key (PEM, mode 0600), and
// root.bin, the first root document, signed by the root key. Keep root.key, and where releases are
// signed by hand release.key, away from the servers: they are needed to sign, not to run.
// UNAVAILABLE if a file cannot be written.

absl::Status MakeTrust(const std::string& folder);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_UP_TRUST_H_
