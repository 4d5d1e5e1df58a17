// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/sql_provisioning_store.h"

#include <memory>
#include <string>
#include <utility>

#include "migrations/provisioning_storage.h"
#include "services/common/sql/database.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/provisioning/storage/provisioning_store_contract.h"
#include "tests/support/postgres/scratch_database.h"

namespace fieldloop::provisioning {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::TemporaryFolder;

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::ScratchDatabase;

// A store and the database it needs.
struct Kept {
  explicit Kept(std::unique_ptr<ScratchDatabase> scratch) : database(std::move(scratch)) {}
  std::unique_ptr<ScratchDatabase> database;
  SqlProvisioningStore store{database->get()};
};

StoreUnderTest On(const std::string& name, Engine engine) {
  return {name, [engine]() -> std::shared_ptr<ProvisioningStore> {
            auto kept = std::make_shared<Kept>(ScratchDatabase::Make(engine, Migrations()));
            return {kept, &kept->store};
          }};
}

INSTANTIATE_TEST_SUITE_P(Stores, ProvisioningStoreContract,
                         ::testing::Values(On("Sqlite", Engine::kSqlite),
                                           On("Postgres", Engine::kPostgres)),
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
