// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/services/build/storage/artifact_store_contract.h"
#include "tests/services/build/storage/build_store_contract.h"
#include "tests/services/build/storage/impulse_store_contract.h"
#include "tests/services/build/storage/model_store_contract.h"
#include "tests/services/build/storage/release_store_contract.h"
#include "tests/services/build/support/test_database.h"

namespace fieldloop::build {
namespace {

class SqliteStores final : public Stores {
 public:
  ImpulseStore& impulses() override { return database_.impulses(); }
  BuildStore& builds() override { return database_.builds(); }
  ModelStore& models() override { return database_.models(); }
  ArtifactStore& artifacts() override { return database_.artifacts(); }
  ReleaseStore& releases() override { return database_.releases(); }

 private:
  TestDatabase database_;
};

const auto kBackends =
    ::testing::Values(StoreUnderTest{"Sqlite", [] { return std::make_unique<SqliteStores>(); }});
const auto kName = [](const auto& param_info) { return param_info.param.name; };

INSTANTIATE_TEST_SUITE_P(Stores, ImpulseStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, BuildStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, ModelStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, ArtifactStoreContract, kBackends, kName);
INSTANTIATE_TEST_SUITE_P(Stores, ReleaseStoreContract, kBackends, kName);

}  // namespace
}  // namespace fieldloop::build
