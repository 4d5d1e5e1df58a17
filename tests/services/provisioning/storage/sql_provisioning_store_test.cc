// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/sql_provisioning_store.h"

#include <memory>

#include "migrations/provisioning_storage.h"
#include "services/common/sql/database.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/provisioning/storage/provisioning_store_contract.h"

namespace fieldloop::provisioning {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::TemporaryFolder;

// A store with its own database file.
struct SqliteStore {
  TemporaryFolder folder;
  std::unique_ptr<Database> database =
      *Database::Open({.connection = "sqlite3://" + (folder / "p.db")}, Migrations());
  SqlProvisioningStore store{*database};
};

INSTANTIATE_TEST_SUITE_P(Stores, ProvisioningStoreContract,
                         ::testing::Values(StoreUnderTest{
                             "Sqlite",
                             [] {
                               auto sqlite = std::make_shared<SqliteStore>();
                               return std::shared_ptr<ProvisioningStore>(sqlite, &sqlite->store);
                             }}),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(SqlProvisioningStoreTest, WhatWasStoredIsThereAfterARestart) {
  const TemporaryFolder folder;
  const DatabaseOptions options = {.connection = "sqlite3://" + (folder / "p.db")};
  {
    const std::unique_ptr<Database> database = *Database::Open(options, Migrations());
    ASSERT_THAT(SqlProvisioningStore(*database).InsertProject({.id = "motor"}), IsOk());
  }
  const std::unique_ptr<Database> database = *Database::Open(options, Migrations());
  EXPECT_THAT(SqlProvisioningStore(*database).GetProject("motor"), IsOk());
}

}  // namespace
}  // namespace fieldloop::provisioning
