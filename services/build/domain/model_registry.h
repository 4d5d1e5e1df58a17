// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_REGISTRY_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_REGISTRY_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/model.h"
#include "services/build/domain/model_store.h"
#include "services/build/domain/page.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What people can do with models. Arguments are as they came from the caller. Thread-safe.
class ModelRegistry {
 public:
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;

  // All must outlive this object.
  ModelRegistry(ModelStore& store, BlobStore& blobs, const Clock& clock);

  // By "projects/{p}/models/{n}" or "projects/{p}/models/{alias}".
  absl::StatusOr<Model> Get(absl::string_view name) { return Get("name", name); }
  // The same for the name in another field of a request.
  absl::StatusOr<Model> Get(absl::string_view field, absl::string_view name);
  // Newest first. `filter` is checked: at most kMaxDatasetVersions, all of the project.
  absl::StatusOr<Page<Model>> List(absl::string_view parent, const ModelFilter& filter,
                                   int page_size, absl::string_view page_token);
  // The model, then the model that it was started from, and so on; at most kMaxLine of them.
  absl::StatusOr<std::vector<Model>> Line(absl::string_view name);
  // Gives the file to `sink` in pieces of at most 256 KiB. DATA_LOSS if it is not what it was.
  absl::Status Download(absl::string_view name, Sink sink);

  absl::StatusOr<AliasChange> SetAlias(absl::string_view parent, absl::string_view alias,
                                       absl::string_view model, absl::string_view reason,
                                       absl::string_view author);
  absl::StatusOr<Page<AliasChange>> ListAliasChanges(absl::string_view parent,
                                                     absl::string_view alias, int page_size,
                                                     absl::string_view page_token);

  static constexpr int kMaxDatasetVersions = 1000;
  static constexpr int kMaxLine = 1000;

 private:
  ModelStore& store_;
  BlobStore& blobs_;
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_REGISTRY_H_
