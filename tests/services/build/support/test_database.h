// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_TEST_DATABASE_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_TEST_DATABASE_H_

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "migrations/build_storage.h"
#include "services/build/storage/sql_artifact_store.h"
#include "services/build/storage/sql_build_store.h"
#include "services/build/storage/sql_impulse_store.h"
#include "services/build/storage/sql_model_store.h"
#include "services/build/storage/sql_release_store.h"
#include "services/build/storage/sql_trainer_run_store.h"
#include "services/common/sql/database.h"
#include "tests/services/common/temporary_folder.h"

namespace fieldloop::build {

// An empty SQLite database in a folder of its own, and the stores on it.
class TestDatabase {
 public:
  TestDatabase() : database_(Open(folder_ / "build.db")) {}

  ImpulseStore& impulses() { return impulses_; }
  BuildStore& builds() { return builds_; }
  ModelStore& models() { return models_; }
  ArtifactStore& artifacts() { return artifacts_; }
  ReleaseStore& releases() { return releases_; }
  TrainerRunStore& runs() { return runs_; }
  std::string folder() const { return folder_.path(); }

 private:
  static std::unique_ptr<Database> Open(const std::string& path) {
    auto database =
        Database::Open({.connection = "sqlite3://" + path, .pool_size = 3}, Migrations());
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  fieldloop::testing::TemporaryFolder folder_;
  std::unique_ptr<Database> database_;
  SqlImpulseStore impulses_{*database_};
  SqlBuildStore builds_{*database_};
  SqlModelStore models_{*database_};
  SqlArtifactStore artifacts_{*database_};
  SqlReleaseStore releases_{*database_};
  SqlTrainerRunStore runs_{*database_};
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_TEST_DATABASE_H_
