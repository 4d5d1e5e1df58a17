// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_REGISTRY_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_REGISTRY_H_

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/artifact.h"
#include "services/build/domain/artifact_store.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/page.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What comes with the bytes of an artifact.
struct ArtifactRequest {
  ComponentKind kind = ComponentKind::kModel;
  std::string version;
  std::string author;
};

// Firmware images and configurations, and the bytes of everything that a release can name.
// Arguments are as they came from the caller. Thread-safe.
class ArtifactRegistry {
 public:
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;

  // All must outlive this object.
  ArtifactRegistry(ArtifactStore& artifacts, ModelStore& models, BlobStore& blobs,
                   const Clock& clock);

  // INVALID_ARGUMENT; ALREADY_EXISTS if the version is taken by other bytes. A repeat returns the
  // first.
  absl::StatusOr<Artifact> Upload(absl::string_view parent, const ArtifactRequest& request,
                                  const std::string& content);
  absl::StatusOr<Artifact> Get(absl::string_view name);
  // Newest first; only of `kind` if there is one.
  absl::StatusOr<Page<Artifact>> List(absl::string_view parent, std::optional<ComponentKind> kind,
                                      int page_size, absl::string_view page_token);
  // Gives the bytes to `sink` in pieces of at most 256 KiB. NOT_FOUND unless a model or an artifact
  // of the project has the digest; DATA_LOSS if they are not what they were.
  absl::Status Download(absl::string_view parent, absl::string_view digest, Sink sink);

 private:
  ArtifactStore& artifacts_;
  ModelStore& models_;
  BlobStore& blobs_;
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_REGISTRY_H_
