// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "migrations/build_storage.h"
#include "services/build/storage/sql_artifact_store.h"
#include "services/build/storage/sql_build_store.h"
#include "services/build/storage/sql_impulse_store.h"
#include "services/build/storage/sql_model_store.h"
#include "services/build/storage/sql_release_store.h"
#include "services/build/storage/sql_trainer_run_store.h"
#include "tests/services/build/storage/artifact_store_contract.h"
#include "tests/services/build/storage/build_store_contract.h"
#include "tests/services/build/storage/impulse_store_contract.h"
#include "tests/services/build/storage/model_store_contract.h"
#include "tests/services/build/storage/release_store_contract.h"
#include "tests/services/build/storage/trainer_run_store_contract.h"
#include "tests/support/postgres/scratch_database.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::MakeOn;
using ::fieldloop::testing::ScratchDatabase;

class SqlStores final : public Stores {
 public:
  explicit SqlStores(std::unique_ptr<ScratchDatabase> database) : database_(std::move(database)) {}
  ImpulseStore& impulses() override { return impulses_; }
  BuildStore& builds() override { return builds_; }
  ModelStore& models() override { return models_; }
  ArtifactStore& artifacts() override { return artifacts_; }
  ReleaseStore& releases() override { return releases_; }
  TrainerRunStore& runs() override { return runs_; }

 private:
  const std::unique_ptr<ScratchDatabase> database_;
  SqlImpulseStore impulses_{database_->get()};
  SqlBuildStore builds_{database_->get()};
  SqlModelStore models_{database_->get()};
  SqlArtifactStore artifacts_{database_->get()};
  SqlReleaseStore releases_{database_->get()};
  SqlTrainerRunStore runs_{database_->get()};
};

const auto kBackends = ::testing::Values(
    StoreUnderTest{"Sqlite", MakeOn<Stores, SqlStores>(Engine::kSqlite, Migrations())},
    StoreUnderTest{"Postgres", MakeOn<Stores, SqlStores>(Engine::kPostgres, Migrations())});
const auto kName = [](const auto& param_info) { return param_info.param.name; };

INSTANTIATE_TEST_SUITE_P(Stores, ImpulseStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, BuildStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, ModelStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, ArtifactStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, ReleaseStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, TrainerRunStoreContract, kBackends, kName);

}  // namespace
}  // namespace fieldloop::build
