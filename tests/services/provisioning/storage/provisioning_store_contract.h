// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_PROVISIONING_STORAGE_PROVISIONING_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_PROVISIONING_STORAGE_PROVISIONING_STORE_CONTRACT_H_

#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "services/provisioning/domain/provisioning_store.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::provisioning {

// What every ProvisioningStore must do. A new store is ready when this suite, instantiated with it,
// passes.
struct StoreUnderTest {
  std::string name;
  std::function<std::shared_ptr<ProvisioningStore>()> make;  // Each call gives an empty store.

  // Without it GoogleTest prints the raw bytes, and the name CTest sees changes from run to run.
  friend void PrintTo(const StoreUnderTest& store, std::ostream* os) { *os << store.name; }
};

class ProvisioningStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  ProvisioningStoreContract() : store_(GetParam().make()) {
    EXPECT_THAT(store_->InsertProject({.id = "motor", .display_name = "Motors"}),
                ::fieldloop::testing::IsOk());
    EXPECT_THAT(store_->InsertProject({.id = "other"}), ::fieldloop::testing::IsOk());
  }

  static absl::Time At(int second) { return absl::FromUnixSeconds(second); }

  static EnrollmentToken Token(const std::string& id, int second = 10) {
    return {.project = "motor",
            .id = id,
            .secret_digest = "digest-of-" + id,
            .hardware_id = "hw",
            .device_id = "",
            .attributes = {{"site", "north = up"}, {"line", ""}},
            .expire_time = At(second + 1000),
            .create_time = At(second)};
  }

  static Device NamedDevice(const std::string& id) {
    return {.project = "motor",
            .id = id,
            .hardware_id = "hw",
            .attributes = {{"site", "north"}},
            .create_time = At(20),
            .certificate_expire_time = At(30)};
  }

  // Enrols device `id` with a new token of the same id.
  absl::StatusOr<Device> Join(const std::string& id) {
    if (const absl::Status status = store_->InsertEnrollmentToken(Token(id)); !status.ok()) {
      return status;
    }
    return store_->Enroll(id, [&](EnrollmentToken& token, const Device*) {
      token.used_by = id;
      return absl::StatusOr<Device>(NamedDevice(id));
    });
  }

  static std::vector<std::string> Ids(const auto& rows) {
    std::vector<std::string> ids;
    for (const auto& row : rows) {
      ids.push_back(row.id);
    }
    return ids;
  }

  const std::shared_ptr<ProvisioningStore> store_;
};

TEST_P(ProvisioningStoreContract, AProjectIsReturnedAsItWasInserted) {
  const Project project = {.id = "pump", .display_name = "Pümps 'n more", .create_time = At(5)};
  ASSERT_THAT(store_->InsertProject(project), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_->GetProject("pump"), project);
}

TEST_P(ProvisioningStoreContract, ATakenProjectIdIsAlreadyExistsAndKeepsTheFirst) {
  EXPECT_THAT(store_->InsertProject({.id = "motor", .display_name = "thief"}),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(store_->GetProject("motor")->display_name, "Motors");
}

TEST_P(ProvisioningStoreContract, WhatDoesNotExistIsNotFound) {
  using ::fieldloop::testing::StatusIs;
  const auto keep = [](auto&) { return absl::OkStatus(); };
  EXPECT_THAT(store_->GetProject("none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->GetDevice("motor", "none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->GetApiToken("none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->UpdateDevice("motor", "none", keep), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->UpdateApiToken("none", keep), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->UpdateEnrollmentToken("motor", "none", keep),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(
      store_->Enroll(
          "none", [](EnrollmentToken&, const Device*) { return absl::StatusOr<Device>(Device{}); }),
      StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ProvisioningStoreContract, TokensOfAProjectThatDoesNotExistAreNotFound) {
  EnrollmentToken token = Token("t1");
  token.project = "none";
  EXPECT_THAT(store_->InsertEnrollmentToken(token),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->InsertApiToken({.id = "a1", .project = "none"}),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ProvisioningStoreContract, ProjectsAreListedByIdAfterTheGivenOne) {
  EXPECT_EQ(Ids(*store_->ListProjects("", 10)), (std::vector<std::string>{"motor", "other"}));
  EXPECT_EQ(Ids(*store_->ListProjects("motor", 10)), (std::vector<std::string>{"other"}));
  EXPECT_EQ(Ids(*store_->ListProjects("", 1)), (std::vector<std::string>{"motor"}));
}

TEST_P(ProvisioningStoreContract, AnEnrollmentTokenIsReturnedAsItWasInserted) {
  const EnrollmentToken token = Token("t1");
  ASSERT_THAT(store_->InsertEnrollmentToken(token), ::fieldloop::testing::IsOk());
  const auto listed = store_->ListEnrollmentTokens("motor", {}, 10);
  ASSERT_THAT(listed, ::fieldloop::testing::IsOk());
  EXPECT_THAT(*listed, ::testing::ElementsAre(token));
  EXPECT_THAT(store_->InsertEnrollmentToken(token),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(ProvisioningStoreContract, ATokenInsertedBetweenTwoPagesRepeatsNoRow) {
  for (const auto& [id, second] : {std::pair("a", 1), {"b", 2}, {"c", 2}, {"d", 3}}) {
    ASSERT_THAT(store_->InsertEnrollmentToken(Token(id, second)), ::fieldloop::testing::IsOk());
  }
  EXPECT_EQ(Ids(*store_->ListEnrollmentTokens("motor", {}, 2)),
            (std::vector<std::string>{"d", "b"}));
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("new", 99)), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Ids(*store_->ListEnrollmentTokens("motor", {.create_time = At(2), .id = "b"}, 9)),
            (std::vector<std::string>{"c", "a"}));
  EXPECT_TRUE(store_->ListEnrollmentTokens("other", {}, 9)->empty());
}

TEST_P(ProvisioningStoreContract, ATokenIsChangedUnderItsOwnProjectOnly) {
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("t1")), ::fieldloop::testing::IsOk());
  const auto revoke = [](EnrollmentToken& token) {
    token.revoked = true;
    return absl::OkStatus();
  };
  EXPECT_THAT(store_->UpdateEnrollmentToken("other", "t1", revoke),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(store_->ListEnrollmentTokens("motor", {}, 1)->front().revoked);
  EXPECT_TRUE(store_->UpdateEnrollmentToken("motor", "t1", revoke)->revoked);
  EXPECT_TRUE(store_->ListEnrollmentTokens("motor", {}, 1)->front().revoked);
}

TEST_P(ProvisioningStoreContract, EnrollStoresTheDeviceAndTheUsedToken) {
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("t1")), ::fieldloop::testing::IsOk());
  const absl::StatusOr<Device> device =
      store_->Enroll("t1", [&](EnrollmentToken& token, const Device* enrolled) {
        EXPECT_EQ(token, Token("t1"));
        EXPECT_EQ(enrolled, nullptr);
        token.used_by = "dev-1";
        token.key_digest = "k";
        return absl::StatusOr<Device>(NamedDevice("dev-1"));
      });
  ASSERT_THAT(device, ::fieldloop::testing::IsOk());
  EXPECT_EQ(device->revision, 1);
  EXPECT_EQ(*store_->GetDevice("motor", "dev-1"), *device);
  const EnrollmentToken used = store_->ListEnrollmentTokens("motor", {}, 1)->front();
  EXPECT_EQ(used.used_by, "dev-1");
  EXPECT_EQ(used.key_digest, "k");
}

TEST_P(ProvisioningStoreContract, ASecondEnrollSeesTheDeviceOfTheFirst) {
  ASSERT_THAT(Join("dev-1"), ::fieldloop::testing::IsOk());
  const absl::StatusOr<Device> again =
      store_->Enroll("dev-1", [&](EnrollmentToken&, const Device* enrolled) {
        Device device = *enrolled;
        device.certificate_expire_time = At(77);
        return absl::StatusOr<Device>(device);
      });
  ASSERT_THAT(again, ::fieldloop::testing::IsOk());
  EXPECT_EQ(again->id, "dev-1");
  EXPECT_EQ(again->revision, 2);
  EXPECT_EQ(store_->GetDevice("motor", "dev-1")->certificate_expire_time, At(77));
}

TEST_P(ProvisioningStoreContract, EnrollWritesNothingWhenTheDecisionIsNo) {
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("t1")), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_->Enroll("t1",
                             [](EnrollmentToken& token, const Device*) {
                               token.used_by = "dev-1";
                               return absl::StatusOr<Device>(absl::PermissionDeniedError("no"));
                             }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(store_->ListEnrollmentTokens("motor", {}, 1)->front().used_by, "");
  EXPECT_TRUE(store_->DevicesAfter(0, 10)->empty());
}

TEST_P(ProvisioningStoreContract, ATakenDeviceIdLeavesTheTokenUnused) {
  ASSERT_THAT(Join("dev-1"), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("t2")), ::fieldloop::testing::IsOk());
  const absl::Status status = store_
                                  ->Enroll("t2",
                                           [&](EnrollmentToken& token, const Device*) {
                                             token.used_by = "dev-1";
                                             return absl::StatusOr<Device>(NamedDevice("dev-1"));
                                           })
                                  .status();
  EXPECT_THAT(status, ::fieldloop::testing::StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReasonOf(status), "DEVICE_EXISTS");
  EXPECT_EQ(store_->GetDevice("motor", "dev-1")->revision, 1);
  const auto tokens = *store_->ListEnrollmentTokens("motor", {}, 9);
  EXPECT_EQ(tokens[1].id, "t2");
  EXPECT_EQ(tokens[1].used_by, "");
}

TEST_P(ProvisioningStoreContract, ATokenForADeviceThatExistsIsRefused) {
  ASSERT_THAT(Join("dev-1"), ::fieldloop::testing::IsOk());
  EnrollmentToken token = Token("t2");
  token.device_id = "dev-1";
  EXPECT_EQ(ReasonOf(store_->InsertEnrollmentToken(token)), "DEVICE_EXISTS");
  token.project = "other";  // The same id in another project is another device.
  EXPECT_THAT(store_->InsertEnrollmentToken(token), ::fieldloop::testing::IsOk());
}

TEST_P(ProvisioningStoreContract, DevicesAreListedByIdAfterTheGivenOne) {
  for (const char* id : {"dev-3", "dev-1", "dev-2"}) {
    ASSERT_THAT(Join(id), ::fieldloop::testing::IsOk());
  }
  EXPECT_EQ(Ids(*store_->ListDevices("motor", "", 2)),
            (std::vector<std::string>{"dev-1", "dev-2"}));
  EXPECT_EQ(Ids(*store_->ListDevices("motor", "dev-2", 2)), (std::vector<std::string>{"dev-3"}));
  EXPECT_TRUE(store_->ListDevices("other", "", 2)->empty());
}

TEST_P(ProvisioningStoreContract, EveryChangeOfADeviceMovesItToTheEndOfTheChanges) {
  for (const char* id : {"dev-1", "dev-2"}) {
    ASSERT_THAT(Join(id), ::fieldloop::testing::IsOk());
  }
  const absl::StatusOr<Device> revoked = store_->UpdateDevice("motor", "dev-1", [](Device& device) {
    device.revoked = true;
    device.revoke_reason = "stolen";
    return absl::OkStatus();
  });
  ASSERT_THAT(revoked, ::fieldloop::testing::IsOk());
  EXPECT_EQ(revoked->revision, 3);
  const std::vector<Device> changes = *store_->DevicesAfter(0, 10);
  EXPECT_EQ(Ids(changes), (std::vector<std::string>{"dev-2", "dev-1"}));
  EXPECT_EQ(changes.back(), *revoked);
  EXPECT_EQ(Ids(*store_->DevicesAfter(2, 10)), (std::vector<std::string>{"dev-1"}));
  EXPECT_EQ(Ids(*store_->DevicesAfter(0, 1)), (std::vector<std::string>{"dev-2"}));
}

TEST_P(ProvisioningStoreContract, AChangeThatChangesNothingKeepsTheRevision) {
  ASSERT_THAT(Join("dev-1"), ::fieldloop::testing::IsOk());
  EXPECT_EQ(
      store_->UpdateDevice("motor", "dev-1", [](Device&) { return absl::OkStatus(); })->revision,
      1);
}

TEST_P(ProvisioningStoreContract, UpdateDeviceWritesNothingWhenTheChangeFails) {
  ASSERT_THAT(Join("dev-1"), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_->UpdateDevice("motor", "dev-1",
                                   [](Device& device) {
                                     device.revoked = true;
                                     return absl::PermissionDeniedError("no");
                                   }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_FALSE(store_->GetDevice("motor", "dev-1")->revoked);
}

TEST_P(ProvisioningStoreContract, ApiTokensAreReturnedAsTheyWereInsertedAndListedById) {
  const ApiToken forever = {.id = "b",
                            .secret_digest = "d",
                            .display_name = "Ada",
                            .role = Role::kAdmin,
                            .create_time = At(1)};
  const ApiToken limited = {.id = "a",
                            .secret_digest = "e",
                            .role = Role::kIngest,
                            .project = "motor",
                            .expire_time = At(100),
                            .create_time = At(2)};
  ASSERT_THAT(store_->InsertApiToken(forever), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->InsertApiToken(limited), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_->GetApiToken("b"), forever);
  EXPECT_THAT(*store_->ListApiTokens("", 9), ::testing::ElementsAre(limited, forever));
  EXPECT_THAT(*store_->ListApiTokens("a", 9), ::testing::ElementsAre(forever));
  EXPECT_THAT(store_->InsertApiToken(limited),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_P(ProvisioningStoreContract, ARevokedApiTokenStaysRevoked) {
  ASSERT_THAT(store_->InsertApiToken({.id = "a"}), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->UpdateApiToken("a",
                                     [](ApiToken& token) {
                                       token.revoked = true;
                                       return absl::OkStatus();
                                     }),
              ::fieldloop::testing::IsOk());
  EXPECT_TRUE(store_->GetApiToken("a")->revoked);
}

TEST_P(ProvisioningStoreContract, CountTellsTheStatesApart) {
  for (const char* id : {"dev-1", "dev-2"}) {
    ASSERT_THAT(Join(id), ::fieldloop::testing::IsOk());
  }
  ASSERT_THAT(store_->UpdateDevice("motor", "dev-1",
                                   [](Device& device) {
                                     device.revoked = true;
                                     return absl::OkStatus();
                                   }),
              ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("old", 10)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("new", 5000)), ::fieldloop::testing::IsOk());
  EnrollmentToken revoked = Token("void", 5000);
  revoked.revoked = true;
  ASSERT_THAT(store_->InsertEnrollmentToken(revoked), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_->Count(At(2000)), (Inventory{.active_devices = 1,
                                                 .revoked_devices = 1,
                                                 .active_tokens = 1,
                                                 .used_tokens = 2,
                                                 .expired_tokens = 1,
                                                 .revoked_tokens = 1}));
}

TEST_P(ProvisioningStoreContract, OfManyWhoUseATokenAtOnceOneWins) {
  ASSERT_THAT(store_->InsertEnrollmentToken(Token("t1")), ::fieldloop::testing::IsOk());
  constexpr int kThreads = 8;
  std::atomic<int> won = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i, &won] {
      const std::string id = "dev-" + std::to_string(i);
      const absl::Status status =
          store_
              ->Enroll("t1",
                       [&](EnrollmentToken& token, const Device*) -> absl::StatusOr<Device> {
                         if (!token.used_by.empty()) {
                           return absl::PermissionDeniedError("used");
                         }
                         token.used_by = id;
                         return NamedDevice(id);
                       })
              .status();
      won += status.ok() ? 1 : 0;
      EXPECT_TRUE(status.ok() || absl::IsPermissionDenied(status)) << status;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(store_->ListDevices("motor", "", 100)->size(), 1U);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ProvisioningStoreContract);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_TESTS_SERVICES_PROVISIONING_STORAGE_PROVISIONING_STORE_CONTRACT_H_
