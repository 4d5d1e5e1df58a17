// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

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
#include "tests/support/postgres/scratch_database.h"

namespace fieldloop::distribution {
namespace {

using ::fieldloop::testing::Engine;
using ::fieldloop::testing::ScratchDatabase;

// A store and the database it needs.
template <typename Store>
struct Kept {
  explicit Kept(std::unique_ptr<ScratchDatabase> scratch) : database(std::move(scratch)) {}
  std::unique_ptr<ScratchDatabase> database;
  GroupCommit commits{database->get()};
  std::unique_ptr<Store> store;
};

template <typename Store>
auto Open(std::unique_ptr<Store> (*make)(Database&, GroupCommit&), Engine engine) {
  return [make, engine]() -> std::shared_ptr<Store> {
    auto kept = std::make_shared<Kept<Store>>(ScratchDatabase::Make(engine, Migrations()));
    kept->store = make(kept->database->get(), kept->commits);
    return std::shared_ptr<Store>(kept, kept->store.get());
  };
}

INSTANTIATE_TEST_SUITE_P(
    Stores, RolloutStoreContract,
    ::testing::Values(RolloutStoreUnderTest{"Sqlite", Open(&MakeSqlRolloutStore, Engine::kSqlite)},
                      RolloutStoreUnderTest{"Postgres",
                                            Open(&MakeSqlRolloutStore, Engine::kPostgres)}),
    [](const auto& param_info) { return param_info.param.name; });
INSTANTIATE_TEST_SUITE_P(
    Stores, FleetStoreContract,
    ::testing::Values(FleetStoreUnderTest{"Sqlite", Open(&MakeSqlFleetStore, Engine::kSqlite)},
                      FleetStoreUnderTest{"Postgres", Open(&MakeSqlFleetStore, Engine::kPostgres)}),
    [](const auto& param_info) { return param_info.param.name; });

// One of two replicas, with connections and a group commit of its own.
struct Replica {
  explicit Replica(const DatabaseOptions& options)
      : database(*Database::Open(options, Migrations())) {}
  std::unique_ptr<Database> database;
  GroupCommit commits{*database};
  std::unique_ptr<RolloutStore> store = MakeSqlRolloutStore(*database, commits);
};

class TwoReplicasTest : public ::testing::TestWithParam<Engine> {};

TEST_P(TwoReplicasTest, OfferNoMoreThanTheQuotaOfAStage) {
  const auto scratch = ScratchDatabase::Make(GetParam(), Migrations());
  if (IsSkipped()) {
    return;
  }
  Replica replicas[] = {Replica(scratch->options()), Replica(scratch->options())};
  const absl::Time now = absl::FromUnixSeconds(1'000);
  std::vector<std::string> devices;
  for (int i = 0; i < 12; ++i) {
    devices.push_back(absl::StrCat("device-", i));
  }
  const auto make = [&](std::int64_t number) {
    NewRollout fresh;
    fresh.rollout.project = "projects/motor";
    fresh.rollout.number = number;
    fresh.rollout.plan.stages = {{.percent = 50, .confirm_percent = 100, .soak_seconds = 0}};
    fresh.rollout.target_count = static_cast<int>(devices.size());
    fresh.devices = OrderDevices("projects/motor", number, devices, now);
    Start(fresh.rollout, "someone", now, fresh.events);
    return fresh;
  };
  ASSERT_TRUE(replicas[0].store->Create("projects/motor", "", make).ok());

  const auto offer = [&](RolloutStore& store, const std::string& name) {
    return store.Change("projects/motor", 1, [&](RolloutEdit& edit) -> absl::Status {
      absl::StatusOr<RolloutDevice> device = edit.Device(name);
      if (!device.ok() || device->state != RolloutDeviceState::kPending ||
          edit.rollout.offered == edit.rollout.quota) {
        return device.status();
      }
      const absl::Status offered = Offer(edit.rollout, *device, now, edit.events);
      edit.changed.push_back(*device);
      return offered;
    });
  };
  std::vector<std::thread> threads;
  for (Replica& replica : replicas) {
    threads.emplace_back([&] {
      for (const std::string& name : devices) {
        EXPECT_TRUE(offer(*replica.store, name).ok());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const auto offered = replicas[1].store->ListDevices("projects/motor", 1, "", 100);
  EXPECT_EQ(std::count_if(offered->begin(), offered->end(),
                          [](const RolloutDevice& device) {
                            return device.state == RolloutDeviceState::kOffered;
                          }),
            6);
  EXPECT_EQ(replicas[0].store->Get("projects/motor", 1)->offered, 6);
}

INSTANTIATE_TEST_SUITE_P(Engines, TwoReplicasTest,
                         ::testing::Values(Engine::kSqlite, Engine::kPostgres),
                         [](const auto& param_info) {
                           return param_info.param == Engine::kSqlite ? "Sqlite" : "Postgres";
                         });

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
