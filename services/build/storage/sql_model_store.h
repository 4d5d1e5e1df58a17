// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_MODEL_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_MODEL_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "services/build/domain/model_store.h"
#include "services/common/sql/database.h"

namespace fieldloop::build {

// Keeps models and aliases in a database with the schema of storage/migrations.
class SqlModelStore final : public ModelStore {
 public:
  // `database` must outlive the store.
  explicit SqlModelStore(Database& database);

  absl::StatusOr<Model> Get(absl::string_view project, std::int64_t number) override;
  absl::StatusOr<Model> Insert(const Model& model) override;
  absl::StatusOr<Model> GetByAlias(absl::string_view project, absl::string_view alias) override;
  absl::StatusOr<Model> FindByInputs(absl::string_view project, const ModelInputs& inputs) override;
  absl::StatusOr<std::vector<Model>> List(absl::string_view project, const ModelFilter& filter,
                                          std::int64_t before, int limit) override;
  absl::StatusOr<AliasChange> PutAlias(const AliasChange& change) override;
  absl::StatusOr<std::vector<AliasChange>> ListAliasChanges(absl::string_view project,
                                                            absl::string_view alias,
                                                            std::int64_t before,
                                                            int limit) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_MODEL_STORE_H_
