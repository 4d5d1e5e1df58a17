// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "services/common/blob/blob_store.h"
#include "services/distribution/storage/blob_artifact_cache.h"
#include "services/distribution/storage/sql_fleet_store.h"
#include "services/distribution/storage/sql_rollout_store.h"
#include "tests/services/distribution/storage/fleet_store_contract.h"
#include "tests/services/distribution/storage/rollout_store_contract.h"
#include "tests/services/distribution/support/fake_backends.h"

namespace fieldloop::distribution {
namespace {

// A store and the database it needs.
template <typename Store>
struct Kept {
  std::unique_ptr<Database> database = OpenMemoryDatabase();
  GroupCommit commits{*database};
  std::unique_ptr<Store> store;
};

template <typename Store>
std::shared_ptr<Store> Open(std::unique_ptr<Store> (*make)(Database&, GroupCommit&)) {
  auto kept = std::make_shared<Kept<Store>>();
  kept->store = make(*kept->database, kept->commits);
  return std::shared_ptr<Store>(kept, kept->store.get());
}

INSTANTIATE_TEST_SUITE_P(Stores, RolloutStoreContract,
                         ::testing::Values(RolloutStoreUnderTest{
                             "Sqlite", [] { return Open(&MakeSqlRolloutStore); }}),
                         [](const auto& param_info) { return param_info.param.name; });
INSTANTIATE_TEST_SUITE_P(Stores, FleetStoreContract,
                         ::testing::Values(FleetStoreUnderTest{
                             "Sqlite", [] { return Open(&MakeSqlFleetStore); }}),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(GroupCommit, EachOfManyWritersGetsItsOwnResult) {
  const std::unique_ptr<Database> database = OpenMemoryDatabase();
  GroupCommit commits(*database);
  std::vector<std::thread> threads;
  std::atomic<int> refused{0};
  std::atomic<int> accepted{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const bool refuse = (t + i) % 5 == 0;
        const absl::Status status = commits.Write([&](soci::session& /*session*/) {
          return refuse ? absl::CancelledError("no") : absl::OkStatus();
        });
        EXPECT_EQ(status.ok(), !refuse);
        ++(status.ok() ? accepted : refused);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(refused.load(), 80);
  EXPECT_EQ(accepted.load(), 320);
}

// Of a database that an older version of the service wrote.
TEST(Migrations, ARolloutFromBeforeComponentsIsOneOfItsModel) {
  const std::string connection =
      "sqlite3://" + ::testing::TempDir() + "/older-" + ToHex(RandomBytes(8)) + ".db";
  std::vector<Migration> older = Migrations();
  older.resize(2);
  {
    const auto database = Database::Open({.connection = connection, .pool_size = 1}, older);
    ASSERT_TRUE(database.ok()) << database.status();
    ASSERT_THAT((*database)->Write([](soci::session& session) {
      session
          << "INSERT INTO rollouts VALUES ('projects/motor', 1, '', 'projects/motor/releases/1',"
             " '', '100 100 0', 10, 1, 60, 1, '', 0, 1, 1, 0, 0, 0, 0,"
             " 'projects/motor/models/1', 'abcd', 1, 0, 'abcd', '', 60, 1, 0, 0, 1, 0, 0)";
      return absl::OkStatus();
    }),
                ::fieldloop::testing::IsOk());
  }
  const auto database = Database::Open({.connection = connection, .pool_size = 1}, Migrations());
  ASSERT_TRUE(database.ok()) << database.status();
  GroupCommit commits(**database);
  const absl::StatusOr<Rollout> rollout =
      MakeSqlRolloutStore(**database, commits)->Get("projects/motor", 1);
  ASSERT_THAT(rollout, ::fieldloop::testing::IsOk());
  EXPECT_THAT(rollout->components,
              ::testing::ElementsAre(
                  Component{.kind = ComponentKind::kModel, .digest = "abcd", .version = ""}));
}

class BlobArtifactCacheTest : public ::testing::Test {
 protected:
  BlobArtifactCacheTest() {
    auto blobs = OpenFolderBlobStore(::testing::TempDir() + "/artifacts-" + ToHex(RandomBytes(8)));
    EXPECT_TRUE(blobs.ok());
    blobs_ = *std::move(blobs);
    cache_ = MakeBlobArtifactCache(*blobs_, registry_);
  }

  FakeRegistry registry_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<ArtifactCache> cache_;
};

TEST_F(BlobArtifactCacheTest, AnArtifactIsFetchedOnceAndReadInPieces) {
  const std::string digest = registry_.model_digest;
  EXPECT_FALSE(cache_->Has(digest));
  ASSERT_TRUE(cache_->Fetch(kProject, digest).ok());
  ASSERT_TRUE(cache_->Fetch(kProject, digest).ok());
  EXPECT_EQ(registry_.downloads, 1);
  EXPECT_TRUE(cache_->Has(digest));
  EXPECT_EQ(*cache_->Read(digest, 100, 50), registry_.artifact.substr(100, 50));
}

TEST_F(BlobArtifactCacheTest, BytesOfAnotherDigestAreRefused) {
  const std::string digest = registry_.model_digest;
  registry_.contents[digest][17] ^= 1;
  EXPECT_THAT(cache_->Fetch(kProject, digest),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(cache_->Has(digest));
}

}  // namespace
}  // namespace fieldloop::distribution
