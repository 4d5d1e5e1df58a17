// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_STORAGE_FLEET_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_STORAGE_FLEET_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/distribution/domain/fleet_store.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {

// What every FleetStore must do. A new store is ready when this suite, instantiated with it,
// passes.
struct FleetStoreUnderTest {
  std::string name;
  std::function<std::shared_ptr<FleetStore>()> make;  // Each call gives an empty store.

  friend void PrintTo(const FleetStoreUnderTest& store, std::ostream* os) { *os << store.name; }
};

class FleetStoreContract : public ::testing::TestWithParam<FleetStoreUnderTest> {
 protected:
  static DeviceState State(const std::string& device, int second) {
    return {.device = device,
            .components = {{.kind = ComponentKind::kModel,
                            .digest = "ab",
                            .confirmed = true,
                            .release_sequence = 7},
                           {.kind = ComponentKind::kFirmware,
                            .digest = "cd",
                            .confirmed = false,
                            .release_sequence = 8},
                           {.kind = ComponentKind::kConfiguration,
                            .digest = "",
                            .confirmed = true,
                            .release_sequence = 18'446'744'073'709'551'615U}},
            .hardware_id = "posix",
            .agent_version = "1.2",
            .boot_count = 3,
            .dropped_uplinks = 4,
            .last_seen_time = absl::FromUnixSeconds(second),
            .connected_until = absl::FromUnixSeconds(second + 10)};
  }

  const std::shared_ptr<FleetStore> store_ = GetParam().make();
};

TEST_P(FleetStoreContract, TheLastStateOfADeviceStands) {
  EXPECT_THAT(store_->GetState("projects/a/devices/x"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(store_->PutState(State("projects/a/devices/x", 1)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->PutState(State("projects/a/devices/x", 2)), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_->GetState("projects/a/devices/x"), State("projects/a/devices/x", 2));
}

TEST_P(FleetStoreContract, ADeviceMayRunNoModel) {
  DeviceState state = State("projects/a/devices/x", 1);
  state.components.erase(state.components.begin());
  ASSERT_THAT(store_->PutState(state), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_->GetState("projects/a/devices/x"), state);
}

TEST_P(FleetStoreContract, StatesAreListedByDeviceWithinTheirProject) {
  for (const char* device :
       {"projects/a/devices/y", "projects/a/devices/x", "projects/b/devices/z"}) {
    ASSERT_THAT(store_->PutState(State(device, 1)), ::fieldloop::testing::IsOk());
  }
  EXPECT_EQ(store_->ListStates("projects/a", "", "", 10)->size(), 2U);
  EXPECT_EQ(store_->ListStates("projects/a", "", "", 1)->front().device, "projects/a/devices/x");
  EXPECT_EQ(store_->ListStates("projects/a", "", "projects/a/devices/x", 10)->front().device,
            "projects/a/devices/y");
}

TEST_P(FleetStoreContract, StatesAreListedByTheModelThatRuns) {
  for (const char* device : {"projects/a/devices/x", "projects/a/devices/y", "projects/a/devices/z",
                             "projects/b/devices/x"}) {
    DeviceState state = State(device, 1);
    state.components.front().digest = std::string(device).back() == 'y' ? "bb" : "aa";
    ASSERT_THAT(store_->PutState(state), ::fieldloop::testing::IsOk());
  }
  const auto names = [&](const std::string& after, int limit) {
    std::vector<std::string> found;
    const std::vector<DeviceState> states = *store_->ListStates("projects/a", "aa", after, limit);
    for (const DeviceState& state : states) {
      found.push_back(state.device);
    }
    return found;
  };
  EXPECT_THAT(names("", 10),
              ::testing::ElementsAre("projects/a/devices/x", "projects/a/devices/z"));
  EXPECT_THAT(names("", 1), ::testing::ElementsAre("projects/a/devices/x"));
  EXPECT_THAT(names("projects/a/devices/x", 10), ::testing::ElementsAre("projects/a/devices/z"));
}

TEST_P(FleetStoreContract, PresenceChangesOnlyWhenADeviceWasHeard) {
  ASSERT_THAT(store_->PutState(State("projects/a/devices/x", 1)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_->PutPresence({{.device = "projects/a/devices/x",
                                    .last_seen_time = absl::FromUnixSeconds(5),
                                    .connected_until = absl::FromUnixSeconds(6)},
                                   {.device = "projects/a/devices/none",
                                    .last_seen_time = absl::FromUnixSeconds(5),
                                    .connected_until = absl::FromUnixSeconds(6)}}),
              ::fieldloop::testing::IsOk());
  DeviceState want = State("projects/a/devices/x", 5);
  want.connected_until = absl::FromUnixSeconds(6);
  EXPECT_EQ(*store_->GetState("projects/a/devices/x"), want);
  // A replica that the device has left has nothing to say about it.
  ASSERT_THAT(store_->PutPresence({{.device = "projects/a/devices/x",
                                    .last_seen_time = absl::FromUnixSeconds(4),
                                    .connected_until = absl::UnixEpoch()}}),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(*store_->GetState("projects/a/devices/x"), want);
  EXPECT_THAT(store_->GetState("projects/a/devices/none"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(FleetStoreContract, SettingsAreReplacedAsAWhole) {
  EXPECT_FALSE(store_->GetSettings("projects/a")->has_value());
  FleetSettings initial;
  ASSERT_TRUE(NormalizeSettings(initial).ok());
  FleetSettings wanted = initial;
  wanted.check_in_seconds = 2.5;
  wanted.collection = Collection{.target = {.attributes = {{"site", "a b"}}, .hardware_ids = {}},
                                 .samples_per_period = 2,
                                 .random_share = 0.75,
                                 .samples_total = 9};
  const auto replace = [&](FleetSettings& settings) { ReplaceSettings(settings, wanted); };
  const absl::StatusOr<FleetSettings> stored =
      store_->ChangeSettings("projects/a", initial, replace);
  ASSERT_THAT(stored, ::fieldloop::testing::IsOk());
  EXPECT_EQ(stored->version, 2);
  EXPECT_EQ(stored->plan_id, 2);
  EXPECT_EQ(**store_->GetSettings("projects/a"), *stored);
  const FleetSettings again = *store_->ChangeSettings("projects/a", initial, replace);
  EXPECT_EQ(again.version, 3);
  EXPECT_EQ(again.plan_id, 2);  // The same collection keeps its count.
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FleetStoreContract);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_STORAGE_FLEET_STORE_CONTRACT_H_
