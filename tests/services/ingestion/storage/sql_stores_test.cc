// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "migrations/ingestion_storage.h"
#include "services/ingestion/storage/sql_dataset_store.h"
#include "services/ingestion/storage/sql_labelling_store.h"
#include "services/ingestion/storage/sql_retention_store.h"
#include "services/ingestion/storage/sql_sample_store.h"
#include "services/ingestion/storage/sql_settings_store.h"
#include "tests/services/ingestion/storage/dataset_store_contract.h"
#include "tests/services/ingestion/storage/labelling_store_contract.h"
#include "tests/services/ingestion/storage/retention_store_contract.h"
#include "tests/services/ingestion/storage/sample_store_contract.h"
#include "tests/services/ingestion/storage/settings_store_contract.h"
#include "tests/support/postgres/scratch_database.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::MakeOn;
using ::fieldloop::testing::ScratchDatabase;

class SqlBackend final : public Backend {
 public:
  explicit SqlBackend(std::unique_ptr<ScratchDatabase> database) : database_(std::move(database)) {}
  SampleStore& samples() override { return samples_; }
  DatasetStore& datasets() override { return datasets_; }
  SettingsStore& settings() override { return settings_; }
  LabellingStore& labelling() override { return labelling_; }
  RetentionStore& retention() override { return retention_; }

 private:
  const std::unique_ptr<ScratchDatabase> database_;
  SqlSampleStore samples_{database_->get()};
  SqlDatasetStore datasets_{database_->get()};
  SqlSettingsStore settings_{database_->get()};
  SqlLabellingStore labelling_{database_->get()};
  SqlRetentionStore retention_{database_->get()};
};

const auto kBackends = ::testing::Values(
    StoreUnderTest{"Sqlite", MakeOn<Backend, SqlBackend>(Engine::kSqlite, Migrations())},
    StoreUnderTest{"Postgres", MakeOn<Backend, SqlBackend>(Engine::kPostgres, Migrations())});

std::string NameOf(const ::testing::TestParamInfo<StoreUnderTest>& store) {
  return store.param.name;
}

INSTANTIATE_TEST_SUITE_P(Stores, SampleStoreContract, kBackends, NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, SettingsStoreContract, kBackends, NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, DatasetStoreContract, kBackends, NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, LabellingStoreContract, kBackends, NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, RetentionStoreContract, kBackends, NameOf);

}  // namespace
}  // namespace fieldloop::ingestion
