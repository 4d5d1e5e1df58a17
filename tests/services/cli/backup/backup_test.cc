// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/soci.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/cli/backup/backup_place.h"
#include "services/cli/backup/check_backup.h"
#include "services/cli/backup/make_backup.h"
#include "services/cli/backup/restore_backup.h"
#include "services/cli/backup/service_stores.h"
#include "services/common/sql/database_backup.h"
#include "services/common/status/status_macros.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/filled_tables.h"
#include "tests/support/postgres/postgres_database.h"
#include "tests/support/postgres/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::Columns;
using ::fieldloop::testing::Engine;
using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::FillTables;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::kNoPostgres;
using ::fieldloop::testing::PostgresDatabase;
using ::fieldloop::testing::ReadColumns;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kPassphrase[] = "correct horse battery";
constexpr char kCaKey[] = "the key of the devices' CA";
constexpr char kReleaseKey[] = "the release key";
constexpr char kAdminToken[] = "the token of the first administrator";

void WriteText(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}
std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

const ServiceStore& StoreOf(const std::string& name) {
  for (const ServiceStore& service : ServiceStores()) {
    if (service.name == name) {
      return service;
    }
  }
  ADD_FAILURE() << name;
  return ServiceStores().front();
}

// Where an installation is or is to be.
struct Site {
  TemporaryFolder folder;
  std::unique_ptr<PostgresDatabase> postgres;
  InstallationPlaces places;

  explicit Site(Engine engine) {
    places.home = folder / "home";
    if (engine == Engine::kPostgres) {
      postgres = PostgresDatabase::Make();
      for (const ServiceStore& service : ServiceStores()) {
        places.databases[service.name] = postgres != nullptr ? postgres->uri() : "";
      }
    }
  }
  std::unique_ptr<Database> Open(const ServiceStore& service) const {
    auto database = Database::Open(places.DatabaseOf(service), *service.migrations);
    EXPECT_THAT(database, IsOk());
    return database.ok() ? *std::move(database) : nullptr;
  }
};

class BackupTest : public ::testing::TestWithParam<std::pair<Engine, Engine>> {
 protected:
  void SetUp() override {
    if ((GetParam().first == Engine::kPostgres || GetParam().second == Engine::kPostgres) &&
        PostgresDatabase::Make() == nullptr) {
      GTEST_SKIP() << kNoPostgres;
    }
    source_ = std::make_unique<Site>(GetParam().first);
    target_ = std::make_unique<Site>(GetParam().second);
  }

  // Rows in every table, as the schema was `steps_back` migrations ago, and blobs for them.
  void MakeInstallation(std::size_t steps_back = 0) {
    for (const ServiceStore& service : ServiceStores()) {
      std::filesystem::create_directories(source_->places.home + "/" + service.name);
      const std::size_t steps = service.migrations->size();
      const std::vector<Migration> known(
          service.migrations->begin(),
          service.migrations->begin() +
              static_cast<std::ptrdiff_t>(steps - std::min(steps - 1, steps_back)));
      const auto database = Database::Open(source_->places.DatabaseOf(service), known);
      ASSERT_THAT(database, IsOk());
      std::unique_ptr<BlobStore> blobs;
      if (!service.blob_folder.empty()) {
        blobs = *source_->places.OpenBlobs(service, clock_);
      }
      FillTables(**database, [&](const TableShape& table, TableRow& row) {
        if (table.name == "enrollment_tokens" && row[0] == TableValue("t2")) {
          row[9] = "";  // Nobody has used it.
        }
        for (std::size_t i = 0; i < row.size(); ++i) {
          for (const auto& [of_table, column] : service.blob_columns) {
            if (of_table == table.name && column == table.columns[i].name) {
              const std::string content =
                  absl::StrCat(of_table, column, std::get<std::string>(row[i]));
              row[i] = blobs->Put(content)->digest;
              contents_[{service.name, std::get<std::string>(row[i])}] = content;
            }
          }
        }
      });
    }
    WriteText(source_->places.home + "/pki/devices-ca.crt", "certificate");
    WriteText(source_->places.home + "/pki/devices-ca.key", kCaKey);
    WriteText(source_->places.home + "/pki/admin.token", kAdminToken);
    WriteText(source_->places.home + "/pki/services/build.crt", "of build");
    WriteText(source_->places.home + "/trust/root.bin", "root");
    WriteText(source_->places.home + "/trust/release.key", kReleaseKey);
    WriteText(source_->places.home + "/trust/directive.key", "the directive key");
  }

  absl::StatusOr<BackupManifest> Back(const BackupOptions& options = {.passphrase = kPassphrase}) {
    const auto place = BackupPlace::Open(place_path_, /*may_write=*/true, clock_);
    EXPECT_THAT(place, IsOk());
    absl::StatusOr<BackupManifest> made =
        MakeBackup(source_->places, **place, options, clock_, say_);
    clock_.Advance(absl::Hours(1));
    return made;
  }
  absl::Status Check(const std::string& id = "") {
    const auto place = BackupPlace::Open(place_path_, /*may_write=*/false, clock_);
    EXPECT_THAT(place, IsOk());
    FIELDLOOP_ASSIGN_OR_RETURN(const BackupManifest manifest, (*place)->Find(id));
    return CheckBackup((*place)->pool(), manifest);
  }
  absl::Status Bring(const RestoreOptions& options = {.passphrase = kPassphrase, .moved = true},
                     const std::string& id = "") {
    const auto place = BackupPlace::Open(place_path_, /*may_write=*/false, clock_);
    EXPECT_THAT(place, IsOk());
    FIELDLOOP_ASSIGN_OR_RETURN(const BackupManifest manifest, (*place)->Find(id));
    return RestoreBackup(**place, manifest, target_->places, options, clock_, say_);
  }
  std::vector<std::string> Ids() {
    return *(*BackupPlace::Open(place_path_, /*may_write=*/false, clock_))->ListIds();
  }
  // All that the place holds, for a look at what stands in it in plain text.
  std::string AllOfThePlace() const {
    std::string all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place_path_)) {
      if (entry.is_regular_file()) {
        all += ReadText(entry.path().string());
      }
    }
    return all;
  }
  long long Number(const std::string& service, const std::string& sql) const {
    long long number = -1;
    EXPECT_THAT(target_->Open(StoreOf(service))->Read([&](soci::session& session) {
      session << sql, soci::into(number);
      return absl::OkStatus();
    }),
                IsOk());
    return number;
  }
  bool IsTargetEmpty() const {
    return !std::filesystem::exists(target_->places.home) ||
           std::filesystem::is_empty(target_->places.home);
  }

  FakeClock clock_;
  const TemporaryFolder place_;
  const std::string place_path_ = place_ / "backups";
  std::unique_ptr<Site> source_;
  std::unique_ptr<Site> target_;
  std::map<std::pair<std::string, std::string>, std::string> contents_;  // Service, digest.
  std::string said_;
  const Say say_ = [this](const std::string& line) { absl::StrAppend(&said_, line, "\n"); };
};

TEST_P(BackupTest, ARestoredInstallationHasTheSameRowsBlobsAndFiles) {
  MakeInstallation();
  const auto first = Back();
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(Check(), IsOk());
  ASSERT_THAT(Bring(), IsOk());

  for (const ServiceStore& service : ServiceStores()) {
    const Columns was = ReadColumns(*source_->Open(service));
    EXPECT_FALSE(was.empty());
    EXPECT_EQ(ReadColumns(*target_->Open(service)), was) << service.name;
  }
  EXPECT_THAT(contents_, SizeIs(10));
  for (const auto& [key, content] : contents_) {
    EXPECT_EQ(*(*target_->places.OpenBlobs(StoreOf(key.first), clock_))->Get(key.second), content);
  }
  for (const char* path : {"pki/devices-ca.crt", "pki/devices-ca.key", "pki/admin.token",
                           "pki/services/build.crt", "trust/root.bin", "trust/directive.key"}) {
    const std::string restored = absl::StrCat(target_->places.home, "/", path);
    EXPECT_EQ(ReadText(restored), ReadText(source_->places.home + "/" + path)) << path;
    if (absl::StrContains(path, "key")) {
      EXPECT_EQ(std::filesystem::status(restored).permissions(),
                std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    }
  }
  EXPECT_FALSE(std::filesystem::exists(target_->places.home + "/" + kRestoreMark));

  // From either database, the tables of the same rows are the same bytes.
  source_.swap(target_);
  const auto second = Back();
  ASSERT_THAT(second, IsOk());
  for (const auto& [name, service] : first->services) {
    for (std::size_t i = 0; i < service.tables.size(); ++i) {
      EXPECT_EQ(second->services.at(name).tables.at(i).digest, service.tables[i].digest)
          << name << "." << service.tables[i].name;
    }
  }
}

TEST_P(BackupTest, ABackupOfAnOlderSchemaIsBroughtToTheNewOne) {
  MakeInstallation(/*steps_back=*/1);
  std::map<std::string, Columns> was;
  for (const ServiceStore& service : ServiceStores()) {
    was[service.name] = ReadColumns(**OpenDatabaseAsItIs(source_->places.DatabaseOf(service)));
  }
  ASSERT_THAT(Back(), IsOk());
  ASSERT_THAT(Bring(), IsOk());
  for (const ServiceStore& service : ServiceStores()) {
    const Columns restored = ReadColumns(*target_->Open(service));
    for (const auto& [column, values] : was[service.name]) {
      EXPECT_EQ(restored.at(column), values) << column.first << "." << column.second;
    }
  }
}

TEST_P(BackupTest, ARestoreAfterALossLeavesNumbersThatDevicesMayKnowUnused) {
  MakeInstallation();
  ASSERT_THAT(Back(), IsOk());  // An hour passes.
  ASSERT_THAT(Bring({.passphrase = kPassphrase}), IsOk());
  // The rows' highest number is 2.
  EXPECT_EQ(Number("build", "SELECT MIN(value) FROM number_floor"), 1002);
  EXPECT_EQ(Number("distribution", "SELECT MIN(value) FROM number_floor"), 1002);
  EXPECT_EQ(Number("distribution", "SELECT MIN(version) FROM fleet_settings"), 1002);
  EXPECT_EQ(Number("distribution", "SELECT MIN(plan_id) FROM fleet_settings"), 1002);
  constexpr long long kHour = 3600LL * 1000 * 1000;
  EXPECT_EQ(Number("distribution", "SELECT MIN(offer_micros) FROM rollout_devices"), 1 + kHour);
  EXPECT_EQ(Number("distribution", "SELECT MIN(stage_open_micros) FROM rollouts"), 1 + kHour);
  // The open token, which had 2 there, is void; the other is as it was.
  EXPECT_EQ(Number("provisioning", "SELECT SUM(revoked) FROM enrollment_tokens"), 2);
}

INSTANTIATE_TEST_SUITE_P(Engines, BackupTest,
                         ::testing::Values(std::pair(Engine::kSqlite, Engine::kSqlite),
                                           std::pair(Engine::kSqlite, Engine::kPostgres),
                                           std::pair(Engine::kPostgres, Engine::kPostgres),
                                           std::pair(Engine::kPostgres, Engine::kSqlite)),
                         [](const auto& param_info) {
                           return absl::StrCat(
                               "From", ::testing::PrintToString(param_info.param.first), "To",
                               ::testing::PrintToString(param_info.param.second));
                         });

// What does not depend on the database.
using BackupOnSqliteTest = BackupTest;

TEST_P(BackupOnSqliteTest, ASecondBackupCopiesOnlyWhatIsNew) {
  MakeInstallation();
  ASSERT_THAT(Back(), IsOk());
  EXPECT_THAT(said_, HasSubstr("copied 10 blobs that were new"));
  said_.clear();
  ASSERT_THAT((*source_->places.OpenBlobs(StoreOf("build"), clock_))->Put("new"), IsOk());
  ASSERT_THAT(Back(), IsOk());
  EXPECT_THAT(said_, HasSubstr("copied 1 blobs that were new"));
  EXPECT_THAT(Ids(), SizeIs(2));
}

TEST_P(BackupOnSqliteTest, ABackupThatFailsLeavesTheEarlierOneAndIsNone) {
  MakeInstallation();
  const std::string first = Back()->id;
  const auto& [key, content] = *contents_.begin();
  ASSERT_THAT((*source_->places.OpenBlobs(StoreOf(key.first), clock_))->Delete(key.second), IsOk());
  EXPECT_THAT(Back(), IsOk()) << "the earlier backup has the blob";

  std::filesystem::remove_all(place_path_);
  const auto failed = Back();
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(failed.status().message(), HasSubstr(key.second));
  EXPECT_THAT(Ids(), IsEmpty());
  EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kNotFound));

  const auto partial = Back({.passphrase = kPassphrase, .despite_missing = true});
  ASSERT_THAT(partial, IsOk());
  EXPECT_THAT(partial->services.at(key.first).missing, ElementsAre(key.second));
  EXPECT_THAT(Check(), IsOk());
  EXPECT_THAT(Bring(), IsOk());
}

TEST_P(BackupOnSqliteTest, EveryDamagedByteOfABackupIsFoundAndNothingIsRestored) {
  MakeInstallation();
  ASSERT_THAT(Back(), IsOk());
  int damaged = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place_path_)) {
    const std::string path = entry.path().string();
    if (!entry.is_regular_file() || path.ends_with(".index") || entry.file_size() == 0) {
      continue;
    }
    const std::string good = ReadText(path);
    // Marks in front of the blobs of a sealed pack are not read: its index leads to them.
    const bool packed = path.ends_with(".pack");
    for (const std::size_t place : {packed ? good.size() - 3 : 0,
                                    packed ? good.size() - 1 : good.size() / 2, good.size() - 2}) {
      std::string bad = good;
      bad[place] = static_cast<char>(bad[place] ^ 4);
      WriteText(path, bad);
      EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kDataLoss)) << path << " at " << place;
      EXPECT_THAT(Bring(), StatusIs(absl::StatusCode::kDataLoss)) << path << " at " << place;
      EXPECT_TRUE(IsTargetEmpty());
      ++damaged;
    }
    WriteText(path, good.substr(0, good.size() - 2));
    EXPECT_THAT(Check(), StatusIs(absl::StatusCode::kDataLoss)) << path << " cut short";
    WriteText(path, good);
  }
  EXPECT_GT(damaged, 20);
  EXPECT_THAT(Check(), IsOk());
}

TEST_P(BackupOnSqliteTest, WhereSomethingIsNothingIsRestored) {
  MakeInstallation();
  ASSERT_THAT(Back(), IsOk());
  WriteText(target_->places.home + "/note", "mine");
  EXPECT_THAT(Bring(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReadText(target_->places.home + "/note"), "mine");
  std::filesystem::remove(target_->places.home + "/note");
  EXPECT_THAT(Bring(), IsOk());
  EXPECT_THAT(Bring(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(BackupOnSqliteTest, ABackupOfANewerProgramIsLeftAlone) {
  MakeInstallation();
  auto manifest = Back();
  ASSERT_THAT(manifest, IsOk());
  manifest->id = "99991231T000000Z-0";
  ++manifest->services.at("build").schema;
  ASSERT_THAT((*BackupPlace::Open(place_path_, true, clock_))->Put(*manifest), IsOk());
  const absl::Status refused = Bring();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(refused.message(), HasSubstr(absl::StrCat("of build, this program knows ",
                                                        StoreOf("build").migrations->size())));
  EXPECT_TRUE(IsTargetEmpty());
}

TEST_P(BackupOnSqliteTest, KeysAreSealedAndThoseOfReleasesStayAwayUnlessAskedFor) {
  MakeInstallation();
  ASSERT_THAT(Back(), IsOk());
  for (const char* secret : {kCaKey, kAdminToken, kReleaseKey, "the directive key"}) {
    EXPECT_THAT(AllOfThePlace(), Not(HasSubstr(secret)));
  }
  EXPECT_THAT(Bring({.passphrase = "wrong horse battery", .moved = true}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Bring({.passphrase = "", .moved = true}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(IsTargetEmpty());
  ASSERT_THAT(Bring(), IsOk());
  EXPECT_FALSE(std::filesystem::exists(target_->places.home + "/trust/release.key"));

  ASSERT_THAT(Back({.passphrase = kPassphrase, .with_release_keys = true}), IsOk());
  EXPECT_THAT(AllOfThePlace(), Not(HasSubstr(kReleaseKey)));
  std::filesystem::remove_all(target_->places.home);
  ASSERT_THAT(Bring(), IsOk());
  EXPECT_EQ(ReadText(target_->places.home + "/trust/release.key"), kReleaseKey);
}

TEST_P(BackupOnSqliteTest, WithoutSecretsTheOpenHalfOfTheAuthorityIsThere) {
  MakeInstallation();
  ASSERT_THAT(Back({.passphrase = ""}), IsOk());
  ASSERT_THAT(Bring({.passphrase = "", .moved = true}), IsOk());
  // Half of a CA keeps provisioning from making another one.
  EXPECT_EQ(ReadText(target_->places.home + "/pki/devices-ca.crt"), "certificate");
  EXPECT_FALSE(std::filesystem::exists(target_->places.home + "/pki/devices-ca.key"));
}

TEST_P(BackupOnSqliteTest, OnARestoreThatDidNotEndNoServiceStarts) {
  MakeInstallation();
  ASSERT_THAT(Back(), IsOk());
  target_->places.blobs = "s3://no-such";  // No keys: it ends in the middle.
  ::unsetenv("AWS_ACCESS_KEY_ID");
  EXPECT_FALSE(Bring().ok());
  EXPECT_TRUE(std::filesystem::exists(target_->places.home + "/" + kRestoreMark));
  const ServiceStore& build = StoreOf("build");
  EXPECT_THAT(Database::Open(target_->places.DatabaseOf(build), *build.migrations),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  // Nor is it taken for an installation.
  source_.swap(target_);
  source_->places.blobs.clear();
  EXPECT_FALSE(Back().ok());
}

TEST_P(BackupOnSqliteTest, OldBackupsGoWithWhatOnlyTheyHad) {
  MakeInstallation();
  const std::string first = Back()->id;
  {
    const auto database = source_->Open(StoreOf("build"));
    ASSERT_THAT(database->Write([](soci::session& session) {
      session << "DELETE FROM artifacts";
      return absl::OkStatus();
    }),
                IsOk());
  }
  const std::string second = Back()->id;
  const auto place = *BackupPlace::Open(place_path_, /*may_write=*/true, clock_);
  const auto count = [&place] {
    int blobs = 0;
    EXPECT_THAT(place->pool().ForEach([&](absl::string_view, absl::Time) {
      ++blobs;
      return absl::OkStatus();
    }),
                IsOk());
    return blobs;
  };
  const int before = count();
  ASSERT_THAT(PruneBackups(*place, 1, say_), IsOk());
  EXPECT_THAT(*place->ListIds(), ElementsAre(second));
  EXPECT_LT(count(), before);
  EXPECT_THAT(CheckBackup(place->pool(), *place->Get(second)), IsOk());
  EXPECT_THAT(place->Get(first), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(BackupOnSqliteTest, ASecondWriterOfAPlaceIsToldToWait) {
  const auto place = BackupPlace::Open(place_path_, /*may_write=*/true, clock_);
  ASSERT_THAT(place, IsOk());
  EXPECT_THAT(BackupPlace::Open(place_path_, /*may_write=*/true, clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(BackupPlace::Open(place_path_, /*may_write=*/false, clock_), IsOk());
  EXPECT_THAT((*place)->Get("../../etc/passwd"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(BackupOnSqliteTest, AFolderThatIsNoPlaceOfBackupsIsSaid) {
  const auto place = BackupPlace::Open("/", /*may_write=*/false, clock_);
  ASSERT_THAT(place, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(place.status().message(),
            "there are no backups in /, want a place of `fieldloop backup`");
}

TEST_P(BackupOnSqliteTest, WhereNoInstallationIsNothingIsBackedUp) {
  EXPECT_THAT(Back(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Ids(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(source_->places.home));
}

INSTANTIATE_TEST_SUITE_P(Sqlite, BackupOnSqliteTest,
                         ::testing::Values(std::pair(Engine::kSqlite, Engine::kSqlite)),
                         [](const auto& /*param_info*/) { return "Sqlite"; });

}  // namespace
}  // namespace fieldloop::cli
