// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/model_registry.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/build/domain/artifact.h"
#include "services/build/domain/names.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::int64_t kPieceBytes = 256 << 10;
constexpr std::size_t kMaxReason = 200;

}  // namespace

ModelRegistry::ModelRegistry(ModelStore& store, BlobStore& blobs, const Clock& clock)
    : store_(store), blobs_(blobs), clock_(clock) {}

absl::StatusOr<Model> ModelRegistry::Get(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName(field, "projects/*/models/*", name));
  if (ValidateAlias(field, parts[1]).ok()) {
    return store_.GetByAlias(parts[0], parts[1]);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName model, ParseModelName(field, name));
  return store_.Get(model.project, model.number);
}

absl::StatusOr<Page<Model>> ModelRegistry::List(absl::string_view parent, const ModelFilter& filter,
                                                int page_size, absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  if (!filter.digest.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateDigest(filter.digest));
  }
  if (filter.dataset_versions.size() > kMaxDatasetVersions) {
    return absl::InvalidArgumentError(absl::StrCat("dataset_versions: got ",
                                                   filter.dataset_versions.size(),
                                                   " names, want at most ", kMaxDatasetVersions));
  }
  for (const std::string& version : filter.dataset_versions) {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::vector<std::string> parts,
        ParseResourceName("dataset_versions", "projects/*/datasets/*/versions/*", version));
    if (parts[0] != project) {
      return absl::InvalidArgumentError(
          absl::StrCat("dataset_versions: got \"", version, "\", want one of ", parent));
    }
  }
  return ListNewestFirst<Model>(
      page_size, page_token,
      [&](std::int64_t before, int limit) { return store_.List(project, filter, before, limit); },
      [](const Model& model) { return model.number; });
}

absl::StatusOr<std::vector<Model>> ModelRegistry::Line(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(Model model, Get(name));
  std::vector<Model> line;
  line.push_back(std::move(model));
  // Models never change, so that reading them one by one gives one picture.
  while (line.back().parent_model != 0 && line.size() < kMaxLine) {
    FIELDLOOP_ASSIGN_OR_RETURN(Model parent,
                               store_.Get(line.back().project, line.back().parent_model));
    line.push_back(std::move(parent));
  }
  return line;
}

absl::Status ModelRegistry::Download(absl::string_view name, Sink sink) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Model model, Get(name));
  return blobs_.Read(model.digest, kPieceBytes, sink);
}

absl::StatusOr<AliasChange> ModelRegistry::SetAlias(absl::string_view parent,
                                                    absl::string_view alias,
                                                    absl::string_view model,
                                                    absl::string_view reason,
                                                    absl::string_view author) {
  AliasChange change;
  FIELDLOOP_ASSIGN_OR_RETURN(change.project, ParseProjectName("parent", parent));
  FIELDLOOP_RETURN_IF_ERROR(ValidateAlias("alias", alias));
  if (!model.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName name, ParseModelName("model", model));
    if (name.project != change.project) {
      return absl::InvalidArgumentError(
          absl::StrCat("model: got one of projects/", name.project, ", want one of ", parent));
    }
    change.model = name.number;
  }
  if (reason.empty() || reason.size() > kMaxReason) {
    return absl::InvalidArgumentError(
        absl::StrCat("reason: got ", reason.size(), " bytes, want 1 to ", kMaxReason));
  }
  change.alias = std::string(alias);
  change.reason = std::string(reason);
  change.author = std::string(author);
  change.create_time = clock_.Now();
  return store_.PutAlias(change);
}

absl::StatusOr<Page<AliasChange>> ModelRegistry::ListAliasChanges(absl::string_view parent,
                                                                  absl::string_view alias,
                                                                  int page_size,
                                                                  absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  FIELDLOOP_RETURN_IF_ERROR(ValidateAlias("alias", alias));
  return ListNewestFirst<AliasChange>(
      page_size, page_token,
      [&](std::int64_t before, int limit) {
        return store_.ListAliasChanges(project, alias, before, limit);
      },
      [](const AliasChange& change) { return change.sequence; });
}

}  // namespace fieldloop::build
