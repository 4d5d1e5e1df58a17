// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

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
#include "tests/services/ingestion/support/ingestion_fakes.h"

namespace fieldloop::ingestion {
namespace {

class SqliteBackend final : public Backend {
 public:
  SampleStore& samples() override { return samples_; }
  DatasetStore& datasets() override { return datasets_; }
  SettingsStore& settings() override { return settings_; }
  LabellingStore& labelling() override { return labelling_; }
  RetentionStore& retention() override { return retention_; }

 private:
  SqliteDatabase database_;
  SqlSampleStore samples_{database_.get()};
  SqlDatasetStore datasets_{database_.get()};
  SqlSettingsStore settings_{database_.get()};
  SqlLabellingStore labelling_{database_.get()};
  SqlRetentionStore retention_{database_.get()};
};

StoreUnderTest Sqlite() {
  return {.name = "Sqlite", .make = [] { return std::make_unique<SqliteBackend>(); }};
}

std::string NameOf(const ::testing::TestParamInfo<StoreUnderTest>& store) {
  return store.param.name;
}

INSTANTIATE_TEST_SUITE_P(Stores, SampleStoreContract, ::testing::Values(Sqlite()), NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, SettingsStoreContract, ::testing::Values(Sqlite()), NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, DatasetStoreContract, ::testing::Values(Sqlite()), NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, LabellingStoreContract, ::testing::Values(Sqlite()), NameOf);
INSTANTIATE_TEST_SUITE_P(Stores, RetentionStoreContract, ::testing::Values(Sqlite()), NameOf);

}  // namespace
}  // namespace fieldloop::ingestion
