// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/build/domain/artifact.h"
#include "services/build/domain/trust.h"

namespace fieldloop::build {

// One component of a release.
struct ManifestComponent {
  ComponentKind kind = ComponentKind::kModel;
  std::string digest;  // 32 bytes.
  std::int64_t size_bytes = 0;
  std::string version;
};

// What a release manifest says: these components, for some hardware, until then.
struct Manifest {
  std::string project;
  std::int64_t sequence = 0;
  std::int64_t expires_s = 0;  // Unix seconds.
  std::vector<std::string> hardware_ids;
  std::vector<ManifestComponent> components;  // By kind, at most one of each.
};

// A permission to run a set of components. Only signatures are ever added.
struct Release {
  std::string project;
  std::int64_t sequence = 0;       // Counts from 1 in the project.
  std::int64_t model = 0;          // 0: none, as of the others.
  std::int64_t firmware = 0;       // Number of the artifact.
  std::int64_t configuration = 0;  // Number of the artifact.
  std::string payload;             // The manifest as signed; never serialised again.
  std::vector<Signature> signatures;
  std::string request_id;
  absl::Time create_time{};
  bool is_signed = false;  // By the root of now; not stored.
  friend bool operator==(const Release&, const Release&) = default;
};

// INVALID_ARGUMENT unless there are at most 4, each 1 to 31 bytes and different.
absl::Status ValidateHardwareIds(const std::vector<std::string>& hardware_ids);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_RELEASE_H_
