// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/artifact_registry.h"

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/domain/names.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::int64_t kPieceBytes = 256 << 10;

}  // namespace

ArtifactRegistry::ArtifactRegistry(ArtifactStore& artifacts, ModelStore& models, BlobStore& blobs,
                                   const Clock& clock)
    : artifacts_(artifacts), models_(models), blobs_(blobs), clock_(clock) {}

absl::StatusOr<Artifact> ArtifactRegistry::Upload(absl::string_view parent,
                                                  const ArtifactRequest& request,
                                                  const std::string& content) {
  Artifact artifact;
  FIELDLOOP_ASSIGN_OR_RETURN(artifact.project, ParseProjectName("spec.parent", parent));
  if (request.kind == ComponentKind::kModel) {
    return absl::InvalidArgumentError(
        "spec.kind: got model, want firmware or configuration: models are imported");
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateArtifactVersion("spec.version", request.version));
  if (content.empty() || static_cast<std::int64_t>(content.size()) > kMaxArtifactBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("data: got ", content.size(), " bytes, want 1 to ", kMaxArtifactBytes));
  }
  // The blob first: what the store names is there.
  FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo blob, blobs_.Put(content));
  artifact.kind = request.kind;
  artifact.version = request.version;
  artifact.digest = blob.digest;
  artifact.size_bytes = blob.size_bytes;
  artifact.author = request.author;
  artifact.create_time = clock_.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(Artifact stored, artifacts_.Insert(artifact));
  if (stored.digest != artifact.digest) {
    return absl::AlreadyExistsError(
        absl::StrCat("spec.version: ", NameOf(stored.kind), " ", stored.version, " is ",
                     ArtifactName(stored.project, stored.number),
                     " with other bytes, which never change; give this file another version"));
  }
  return stored;
}

absl::StatusOr<Artifact> ArtifactRegistry::Get(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName parts, ParseArtifactName("name", name));
  return artifacts_.Get(parts.project, parts.number);
}

absl::StatusOr<Page<Artifact>> ArtifactRegistry::List(absl::string_view parent,
                                                      std::optional<ComponentKind> kind,
                                                      int page_size, absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  return ListNewestFirst<Artifact>(
      page_size, page_token,
      [&](std::int64_t before, int limit) { return artifacts_.List(project, kind, before, limit); },
      [](const Artifact& artifact) { return artifact.number; });
}

absl::Status ArtifactRegistry::Download(absl::string_view parent, absl::string_view digest,
                                        Sink sink) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  FIELDLOOP_RETURN_IF_ERROR(ValidateDigest(digest));
  FIELDLOOP_ASSIGN_OR_RETURN(bool known, artifacts_.HasDigest(project, digest));
  if (!known) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::vector<Model> models,
        models_.List(project, {.digest = std::string(digest), .dataset_versions = {}},
                     std::numeric_limits<std::int64_t>::max(), 1));
    known = !models.empty();
  }
  if (!known) {
    return absl::NotFoundError(absl::StrCat("no artifact ", digest, " in ", parent));
  }
  return blobs_.Read(digest, kPieceBytes, sink);
}

}  // namespace fieldloop::build
