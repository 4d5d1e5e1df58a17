// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_STORAGE_ROLLOUT_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_STORAGE_ROLLOUT_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "services/distribution/domain/rollout_store.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {

// What every RolloutStore must do. A new store is ready when this suite, instantiated with it,
// passes.
struct RolloutStoreUnderTest {
  std::string name;
  std::function<std::shared_ptr<RolloutStore>()> make;  // Each call gives an empty store.

  friend void PrintTo(const RolloutStoreUnderTest& store, std::ostream* os) { *os << store.name; }
};

class RolloutStoreContract : public ::testing::TestWithParam<RolloutStoreUnderTest> {
 protected:
  static constexpr char kOwner[] = "projects/motor";

  static NewRollout Make(std::int64_t number, const std::string& request_id = "") {
    const absl::Time now = absl::FromUnixSeconds(1'000);
    NewRollout fresh;
    Rollout& rollout = fresh.rollout;
    rollout.project = kOwner;
    rollout.number = number;
    rollout.request_id = request_id;
    rollout.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    rollout.release = "projects/motor/releases/3";
    rollout.target = {.attributes = {{"site", "hall 1\n\"x\" \xC3\xA4"}},
                      .hardware_ids = {"posix x86", "m4"}};
    rollout.plan = {.stages = {{.percent = 33.3, .confirm_percent = 90, .soak_seconds = 5},
                               {.percent = 100, .confirm_percent = 100, .soak_seconds = 0}},
                    .failure_percent = 12.5,
                    .failure_count = 2,
                    .device_timeout_seconds = 60};
    rollout.target_count = 3;
    rollout.model = "projects/motor/models/2";
    rollout.components = {{.kind = ComponentKind::kModel, .digest = "abcd", .version = "2"},
                          {.kind = ComponentKind::kFirmware, .digest = "12", .version = "1.0 beta"},
                          {.kind = ComponentKind::kConfiguration, .digest = "ef01", .version = ""}};
    rollout.release_sequence = 3;
    rollout.release_expire_time = absl::FromUnixSeconds(9'000);
    rollout.artifact_digests = {"abcd", "ef01"};
    rollout.manifest = std::string("\0\x01\xFF manifest", 12);
    rollout.turn_timeout = absl::Seconds(600);
    fresh.devices = OrderDevices(kOwner, number, {"a", "b", "c"}, now);
    Start(rollout, "someone", now, fresh.events);
    return fresh;
  }
  absl::StatusOr<Rollout> Create(const std::string& request_id = "") {
    return store_->Create(kOwner, request_id,
                          [&](std::int64_t number) { return Make(number, request_id); });
  }
  void Finish(std::int64_t number) {
    ASSERT_THAT(store_->Change(kOwner, number,
                               [](RolloutEdit& edit) {
                                 return Cancel(edit.rollout, "done", "someone",
                                               absl::FromUnixSeconds(2'000), edit.events);
                               }),
                ::fieldloop::testing::IsOk());
  }

  const std::shared_ptr<RolloutStore> store_ = GetParam().make();
};

TEST_P(RolloutStoreContract, GetReturnsWhatCreateStored) {
  const absl::StatusOr<Rollout> created = Create();
  ASSERT_THAT(created, ::fieldloop::testing::IsOk());
  EXPECT_EQ(*created, Make(1).rollout);
  EXPECT_EQ(*store_->Get(kOwner, 1), *created);
  EXPECT_EQ(**store_->FindActive(kOwner), *created);
  EXPECT_THAT(*store_->ListActive(), ::testing::ElementsAre(*created));
  EXPECT_THAT(store_->Get(kOwner, 2), ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  std::vector<RolloutDevice> by_name = Make(1).devices;
  std::sort(by_name.begin(), by_name.end(),
            [](const auto& x, const auto& y) { return x.device < y.device; });
  EXPECT_EQ(*store_->ListDevices(kOwner, 1, "", 10), by_name);
  EXPECT_EQ(*store_->ListEvents(kOwner, 1, 0, 10), Make(1).events);
}

TEST_P(RolloutStoreContract, AProjectHasOneActiveRollout) {
  ASSERT_THAT(Create(), ::fieldloop::testing::IsOk());
  EXPECT_EQ(ReasonOf(Create().status()), "ROLLOUT_ACTIVE");
  Finish(1);
  EXPECT_FALSE(store_->FindActive(kOwner)->has_value());
  EXPECT_EQ(Create()->number, 2);
  EXPECT_THAT(*store_->CountByState(),
              ::testing::ElementsAre(std::make_pair(RolloutState::kRunning, 1),
                                     std::make_pair(RolloutState::kCancelled, 1)));
}

TEST_P(RolloutStoreContract, ARequestIdIsUsedOnce) {
  ASSERT_THAT(Create("r"), ::fieldloop::testing::IsOk());
  Finish(1);
  EXPECT_EQ(Create("r")->number, 1);
  EXPECT_EQ((*store_->FindByRequest(kOwner, "r"))->number, 1);
  EXPECT_FALSE(store_->FindByRequest(kOwner, "s")->has_value());
  EXPECT_FALSE(store_->FindByRequest("projects/other", "r")->has_value());
}

TEST_P(RolloutStoreContract, ChangeWritesRolloutDevicesAndEventsTogether) {
  ASSERT_THAT(Create(), ::fieldloop::testing::IsOk());
  const absl::Time now = absl::FromUnixSeconds(1'500);
  const std::string first = Make(1).devices[0].device;
  const absl::StatusOr<Rollout> changed =
      store_->Change(kOwner, 1, [&](RolloutEdit& edit) -> absl::Status {
        absl::StatusOr<RolloutDevice> device = edit.Device(first);
        if (!device.ok()) {
          return device.status();
        }
        const absl::Status status = Offer(edit.rollout, *device, now, edit.events);
        edit.events.back().report_sequence = 18'000'000'000'000'000'000ULL;
        edit.changed.push_back(*device);
        return status;
      });
  ASSERT_THAT(changed, ::fieldloop::testing::IsOk());
  EXPECT_EQ(changed->offered, 1);
  EXPECT_EQ(*store_->Get(kOwner, 1), *changed);
  EXPECT_EQ(store_->GetDevice(kOwner, 1, first)->offer_time, now);
  EXPECT_EQ(store_->ListEvents(kOwner, 1, 2, 10)->at(0).kind, kEventOffered);
  ASSERT_THAT(store_->Change(kOwner, 1,
                             [&](RolloutEdit& edit) {
                               EXPECT_TRUE(*edit.HasReport(first, 18'000'000'000'000'000'000ULL));
                               EXPECT_FALSE(*edit.HasReport(first, 1));
                               EXPECT_EQ(edit.Pending()->size(), 2U);
                               EXPECT_EQ(edit.OpenOffersUntil(now)->size(), 1U);
                               EXPECT_TRUE(edit.OpenOffersUntil(now - absl::Seconds(1))->empty());
                               EXPECT_THAT(edit.Device("nobody"), ::fieldloop::testing::StatusIs(
                                                                      absl::StatusCode::kNotFound));
                               return absl::OkStatus();
                             }),
              ::fieldloop::testing::IsOk());
}

TEST_P(RolloutStoreContract, ChangeWritesNothingWhenTheBodyFails) {
  ASSERT_THAT(Create(), ::fieldloop::testing::IsOk());
  const Rollout before = *store_->Get(kOwner, 1);
  EXPECT_THAT(store_->Change(kOwner, 1,
                             [](RolloutEdit& edit) {
                               edit.rollout.state_reason = "no";
                               edit.events.emplace_back();
                               return absl::CancelledError("no");
                             }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(*store_->Get(kOwner, 1), before);
  EXPECT_EQ(store_->ListEvents(kOwner, 1, 0, 10)->size(), 2U);
}

TEST_P(RolloutStoreContract, MoreOffersThanTheQuotaCannotBeStored) {
  ASSERT_THAT(Create(), ::fieldloop::testing::IsOk());
  EXPECT_FALSE(store_
                   ->Change(kOwner, 1,
                            [](RolloutEdit& edit) {
                              edit.rollout.offered = edit.rollout.quota + 1;
                              return absl::OkStatus();
                            })
                   .ok());
  EXPECT_EQ(store_->Get(kOwner, 1)->offered, 0);
}

TEST_P(RolloutStoreContract, RolloutsAreListedNewestFirst) {
  for (int i = 1; i <= 3; ++i) {
    ASSERT_THAT(Create(), ::fieldloop::testing::IsOk());
    Finish(i);
  }
  EXPECT_EQ(store_->List(kOwner, 100, 2)->front().number, 3);
  EXPECT_EQ(store_->List(kOwner, 2, 2)->front().number, 1);
  EXPECT_TRUE(store_->List("projects/other", 100, 2)->empty());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RolloutStoreContract);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_TESTS_SERVICES_DISTRIBUTION_STORAGE_ROLLOUT_STORE_CONTRACT_H_
