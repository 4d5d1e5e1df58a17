// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <atomic>
#include <thread>

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
  const std::string digest = registry_.release.model_digest;
  EXPECT_FALSE(cache_->Has(digest));
  ASSERT_TRUE(cache_->Fetch(kProject, digest).ok());
  ASSERT_TRUE(cache_->Fetch(kProject, digest).ok());
  EXPECT_EQ(registry_.downloads, 1);
  EXPECT_TRUE(cache_->Has(digest));
  EXPECT_EQ(*cache_->Read(digest, 100, 50), registry_.artifact.substr(100, 50));
}

TEST_F(BlobArtifactCacheTest, BytesOfAnotherDigestAreRefused) {
  const std::string digest = registry_.release.model_digest;
  registry_.artifact[17] ^= 1;
  EXPECT_THAT(cache_->Fetch(kProject, digest),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(cache_->Has(digest));
}

}  // namespace
}  // namespace fieldloop::distribution
