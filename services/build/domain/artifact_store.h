// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_STORE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/artifact.h"

namespace fieldloop::build {

// Keeps what is known of artifacts; their bytes are blobs. What an implementation must do is
// checked in tests/services/build/storage/artifact_store_contract.h. Thread-safe. Every method may
// return UNAVAILABLE.
class ArtifactStore {
 public:
  ArtifactStore() = default;
  ArtifactStore(const ArtifactStore&) = delete;
  ArtifactStore& operator=(const ArtifactStore&) = delete;
  virtual ~ArtifactStore() = default;

  // Stores `artifact` under the project's next number and returns it. If an artifact of its kind
  // has its version already, nothing is stored and that one is returned.
  virtual absl::StatusOr<Artifact> Insert(const Artifact& artifact) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<Artifact> Get(absl::string_view project, std::int64_t number) = 0;
  // Newest first, numbers below `before`; only of `kind` if there is one.
  virtual absl::StatusOr<std::vector<Artifact>> List(absl::string_view project,
                                                     std::optional<ComponentKind> kind,
                                                     std::int64_t before, int limit) = 0;
  // True if an artifact of the project has this digest.
  virtual absl::StatusOr<bool> HasDigest(absl::string_view project, absl::string_view digest) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_STORE_H_
