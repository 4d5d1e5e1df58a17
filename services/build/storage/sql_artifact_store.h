// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ARTIFACT_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ARTIFACT_STORE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "services/build/domain/artifact_store.h"
#include "services/common/sql/database.h"

namespace fieldloop::build {

// Keeps artifacts in a database with the schema of storage/migrations.
class SqlArtifactStore final : public ArtifactStore {
 public:
  // `database` must outlive the store.
  explicit SqlArtifactStore(Database& database);

  absl::StatusOr<Artifact> Insert(const Artifact& artifact) override;
  absl::StatusOr<Artifact> Get(absl::string_view project, std::int64_t number) override;
  absl::StatusOr<std::vector<Artifact>> List(absl::string_view project,
                                             std::optional<ComponentKind> kind, std::int64_t before,
                                             int limit) override;
  absl::StatusOr<bool> HasDigest(absl::string_view project, absl::string_view digest) override;

 private:
  Database& database_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_ARTIFACT_STORE_H_
