// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_TRAINER_RUN_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_TRAINER_RUN_STORE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/trainer_run_store.h"
#include "services/common/sql/database.h"

namespace fieldloop::build {

// Keeps runs in a database with the migrations of this folder.
class SqlTrainerRunStore final : public TrainerRunStore {
 public:
  // `database` must outlive this object.
  explicit SqlTrainerRunStore(Database& database);

  absl::StatusOr<TrainerRun> Insert(const TrainerRun& run) override;
  absl::StatusOr<TrainerRun> Get(absl::string_view project, std::int64_t number) override;
  absl::StatusOr<TrainerRun> GetById(absl::string_view id) override;
  absl::StatusOr<TrainerRun> Finish(const TrainerRun& run) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<std::vector<TrainerRun>> List() override;

 private:
  Database& database_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_SQL_TRAINER_RUN_STORE_H_
