// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/model.h"

namespace fieldloop::build {

// Which models a list holds.
struct ModelFilter {
  std::string digest;  // Only those with this digest; empty: any.
  // Only those that were trained on one of these, or that descend from such a model; empty: any.
  std::vector<std::string> dataset_versions;
};

// Keeps models, of which BuildStore::FinishWithModel writes those that are built, and aliases. What
// an implementation must do is checked in tests/services/build/storage/model_store_contract.h.
// Thread-safe. Every method may return UNAVAILABLE.
class ModelStore {
 public:
  ModelStore() = default;
  ModelStore(const ModelStore&) = delete;
  ModelStore& operator=(const ModelStore&) = delete;
  virtual ~ModelStore() = default;

  // NOT_FOUND.
  virtual absl::StatusOr<Model> Get(absl::string_view project, std::int64_t number) = 0;

  // Stores a model that was imported under the project's next number and returns it; if one with
  // the same inputs is there, returns that instead.
  virtual absl::StatusOr<Model> Insert(const Model& model) = 0;

  // The model that `alias` points to. NOT_FOUND.
  virtual absl::StatusOr<Model> GetByAlias(absl::string_view project, absl::string_view alias) = 0;

  // The oldest model of the project that was made from these inputs. NOT_FOUND.
  virtual absl::StatusOr<Model> FindByInputs(absl::string_view project,
                                             const ModelInputs& inputs) = 0;

  // Newest first, at most `limit` with numbers below `before`.
  virtual absl::StatusOr<std::vector<Model>> List(absl::string_view project,
                                                  const ModelFilter& filter, std::int64_t before,
                                                  int limit) = 0;

  // Appends a change of an alias, which then points to that model, and returns it with its
  // sequence. NOT_FOUND if the model is not 0 and does not exist.
  virtual absl::StatusOr<AliasChange> PutAlias(const AliasChange& change) = 0;

  // Newest first, at most `limit` with sequences below `before`. No change is ever altered or
  // removed.
  virtual absl::StatusOr<std::vector<AliasChange>> ListAliasChanges(absl::string_view project,
                                                                    absl::string_view alias,
                                                                    std::int64_t before,
                                                                    int limit) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_STORE_H_
