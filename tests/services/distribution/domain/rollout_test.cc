// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/rollout.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

constexpr char kDigest[] = "d1";

// A rollout to `count` devices, beside the time.
class RolloutRules : public ::testing::Test {
 protected:
  void Begin(int count, RolloutPlan plan) {
    ASSERT_THAT(NormalizePlan(plan), IsOk());
    rollout_ = Rollout();
    rollout_.project = "projects/motor";
    rollout_.number = 1;
    rollout_.plan = std::move(plan);
    rollout_.target_count = count;
    rollout_.components = {{.kind = ComponentKind::kModel, .digest = kDigest, .version = "1"}};
    rollout_.turn_timeout = absl::Seconds(rollout_.plan.device_timeout_seconds);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) {
      names.push_back("d" + std::to_string(i));
    }
    devices_ = OrderDevices(rollout_.project, rollout_.number, names, now_);
    Start(rollout_, "someone", now_, events_);
  }
  // Does what a check-in does.
  bool CheckIn(std::size_t i) {
    if (!MayOffer(rollout_, devices_[i], now_)) {
      return false;
    }
    EXPECT_THAT(Offer(rollout_, devices_[i], now_, events_), IsOk());
    Settle(rollout_, now_, events_);
    return true;
  }
  void Report(std::size_t i, UpdatePhase phase, const std::string& digest = kDigest) {
    UpdateReport report;
    report.sequence = ++sequence_;
    report.phase = phase;
    report.cause = phase == UpdatePhase::kFailed ? "STORAGE" : "";
    report.active_digest = digest;
    ApplyReport(rollout_, devices_[i], report, now_, events_);
    Settle(rollout_, now_, events_);
  }
  static ComponentState State(ComponentKind kind, const std::string& digest, bool confirmed) {
    return {.kind = kind, .digest = digest, .confirmed = confirmed, .release_sequence = 1};
  }
  void Running(std::size_t i, const std::vector<ComponentState>& components) {
    ApplyRunning(rollout_, devices_[i], components, now_, events_);
    Settle(rollout_, now_, events_);
  }
  void Tick() {
    for (RolloutDevice& device : devices_) {
      if (device.offer_time.has_value() && *device.offer_time <= OfferDeadline(rollout_, now_)) {
        TimeOut(rollout_, device, now_, events_);
      }
    }
    if (PendingAreMissed(rollout_, now_)) {
      for (RolloutDevice& device : devices_) {
        Miss(rollout_, device, now_, events_);
      }
    }
    Settle(rollout_, now_, events_);
  }

  Rollout rollout_;
  std::vector<RolloutDevice> devices_;
  std::vector<RolloutEvent> events_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  std::uint64_t sequence_ = 0;
};

TEST(QuotaOf, RoundsUpToWholeDevicesAndNotBeyond) {
  EXPECT_EQ(QuotaOf(10, 25), 3);
  EXPECT_EQ(QuotaOf(7, 100), 7);
  EXPECT_EQ(QuotaOf(0.01, 10), 1);
  EXPECT_EQ(QuotaOf(100, 10), 10);
  EXPECT_EQ(QuotaOf(33.3, 10), 4);
}

TEST(NormalizePlan, FillsInDefaultsAndNamesTheBadField) {
  RolloutPlan plan{.stages = {{.percent = 10}, {.percent = 100}}};
  ASSERT_THAT(NormalizePlan(plan), IsOk());
  EXPECT_EQ(plan.failure_percent, 10);
  EXPECT_EQ(plan.failure_count, 1);
  EXPECT_EQ(plan.device_timeout_seconds, 3600);
  EXPECT_EQ(plan.stages[0].confirm_percent, 100);

  RolloutPlan falling{.stages = {{.percent = 50}, {.percent = 20}, {.percent = 100}}};
  EXPECT_THAT(std::string(NormalizePlan(falling).message()),
              ::testing::HasSubstr("plan.stages[1].percent"));
  RolloutPlan partial{.stages = {{.percent = 50}}};
  EXPECT_THAT(NormalizePlan(partial), StatusIs(absl::StatusCode::kInvalidArgument));
  RolloutPlan none;
  EXPECT_THAT(NormalizePlan(none), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(OrderDevices, IsRandomAndTheSameForTheSameRollout) {
  const absl::Time now = absl::UnixEpoch();
  std::vector<std::string> names;
  for (int i = 0; i < 50; ++i) {
    names.push_back("d" + std::to_string(i));
  }
  const auto first = OrderDevices("projects/a", 1, names, now);
  std::reverse(names.begin(), names.end());
  EXPECT_EQ(first, OrderDevices("projects/a", 1, names, now));
  EXPECT_NE(first, OrderDevices("projects/a", 2, names, now));
}

TEST_F(RolloutRules, ThePlacesOfAStageBelongToTheDevicesWhoseTurnItIs) {
  Begin(10, {.stages = {{.percent = 20}, {.percent = 100}}});
  EXPECT_FALSE(CheckIn(2));
  EXPECT_TRUE(CheckIn(0));
  EXPECT_TRUE(CheckIn(1));
  EXPECT_EQ(rollout_.offered, 2);
}

TEST_F(RolloutRules, PlacesThatNobodyTakesAreOpenToAllOnceTheStageIsOverdue) {
  Begin(10, {.stages = {{.percent = 20}, {.percent = 100}}});
  now_ += rollout_.turn_timeout;
  EXPECT_TRUE(CheckIn(7));
  EXPECT_TRUE(CheckIn(8));
  EXPECT_FALSE(CheckIn(0));  // Its place is taken; the quota holds.
  EXPECT_EQ(rollout_.offered, rollout_.quota);
}

TEST_F(RolloutRules, TheNextStageOpensWhenEnoughHaveConfirmedAndSoaked) {
  Begin(10, {.stages = {{.percent = 20, .soak_seconds = 60}, {.percent = 100}}});
  CheckIn(0);
  CheckIn(1);
  Report(0, UpdatePhase::kConfirmed);
  EXPECT_EQ(rollout_.stage, 0);
  Report(1, UpdatePhase::kConfirmed);
  EXPECT_EQ(rollout_.stage, 0);
  now_ += absl::Seconds(59);
  Tick();
  EXPECT_EQ(rollout_.stage, 0);
  now_ += absl::Seconds(1);
  Tick();
  EXPECT_EQ(rollout_.stage, 1);
  EXPECT_EQ(rollout_.quota, 10);
}

TEST_F(RolloutRules, OnlyTheDigestOfTheReleaseConfirms) {
  Begin(1, {.stages = {{.percent = 100}}});
  CheckIn(0);
  Report(0, UpdatePhase::kConfirmed, "another");
  EXPECT_EQ(rollout_.confirmed, 0);
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kOffered);
  Running(0, {State(ComponentKind::kModel, "another", true)});
  EXPECT_EQ(rollout_.confirmed, 0);
  Running(0, {State(ComponentKind::kModel, kDigest, false)});
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kTrial);
  Running(0, {State(ComponentKind::kModel, kDigest, true)});
  EXPECT_EQ(rollout_.confirmed, 1);
  EXPECT_EQ(rollout_.state, RolloutState::kCompleted);
}

TEST_F(RolloutRules, ASetIsConfirmedWhenAllItsComponentsAre) {
  Begin(1, {.stages = {{.percent = 100}}});
  rollout_.components.push_back(
      {.kind = ComponentKind::kConfiguration, .digest = "c2", .version = "2"});
  CheckIn(0);
  // A report names only the model.
  Report(0, UpdatePhase::kConfirmed);
  EXPECT_EQ(rollout_.confirmed, 0);
  EXPECT_EQ(events_.back().detail, "confirmed, its state is to show all components");
  const ComponentState model = State(ComponentKind::kModel, kDigest, true);
  Running(0, {model});
  Running(0, {model, State(ComponentKind::kConfiguration, "c1", true)});
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kOffered);
  Running(0, {model, State(ComponentKind::kConfiguration, "c2", false)});
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kTrial);
  EXPECT_EQ(rollout_.confirmed, 0);
  Running(0, {model, State(ComponentKind::kFirmware, "f1", false),
              State(ComponentKind::kConfiguration, "c2", true)});
  EXPECT_EQ(rollout_.confirmed, 1);
  EXPECT_EQ(rollout_.state, RolloutState::kCompleted);
}

TEST_F(RolloutRules, AReleaseWithoutAModelIsConfirmedByTheStateOfItsComponents) {
  Begin(1, {.stages = {{.percent = 100}}});
  rollout_.components = {{.kind = ComponentKind::kConfiguration, .digest = "c2", .version = "2"}};
  CheckIn(0);
  Report(0, UpdatePhase::kConfirmed, "");
  EXPECT_EQ(rollout_.confirmed, 0);
  Running(0, {State(ComponentKind::kModel, "any", false),
              State(ComponentKind::kConfiguration, "c2", true)});
  EXPECT_EQ(rollout_.confirmed, 1);
}

TEST_F(RolloutRules, ADeferredUpdateShowsItsCauseUntilItGoesOn) {
  Begin(2, {.stages = {{.percent = 100}}});
  CheckIn(0);
  Report(0, UpdatePhase::kDeferred);
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kOffered);
  EXPECT_EQ(devices_[0].cause, "DEFERRED");
  EXPECT_TRUE(MayOfferAgain(rollout_, devices_[0], now_));
  Report(0, UpdatePhase::kAccepted);
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kDownloading);
  EXPECT_EQ(devices_[0].cause, "");
}

TEST_F(RolloutRules, ADeviceThatFallsSilentCountsAsFailedAndStaysSo) {
  Begin(4, {.stages = {{.percent = 100}}, .failure_percent = 50, .failure_count = 2});
  CheckIn(0);
  now_ += absl::Seconds(3599);
  Tick();
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kOffered);
  now_ += absl::Seconds(1);
  Tick();
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kTimedOut);
  EXPECT_EQ(rollout_.failed, 1);
  Report(0, UpdatePhase::kConfirmed);
  EXPECT_EQ(devices_[0].state, RolloutDeviceState::kTimedOut);
  EXPECT_EQ(rollout_.confirmed, 0);
  EXPECT_EQ(events_.back().detail, "stays TIMED_OUT; reported CONFIRMED");
}

TEST_F(RolloutRules, ARolloutWithTooManyFailuresFailsAndOffersToNoOneElse) {
  Begin(10, {.stages = {{.percent = 100}}, .failure_percent = 20, .failure_count = 2});
  for (std::size_t i = 0; i < 6; ++i) {
    CheckIn(i);
  }
  Report(0, UpdatePhase::kFailed);
  EXPECT_EQ(rollout_.state, RolloutState::kRunning);  // Below the count.
  EXPECT_EQ(devices_[0].cause, "STORAGE");
  Report(1, UpdatePhase::kReverted);
  EXPECT_EQ(rollout_.state, RolloutState::kFailed);
  EXPECT_EQ(rollout_.state_reason, "2 of 6 devices failed");
  EXPECT_FALSE(CheckIn(6));
  EXPECT_FALSE(MayOfferAgain(rollout_, devices_[2], now_));
  Report(2, UpdatePhase::kConfirmed);  // Was on its way: noted, and the rollout stays failed.
  EXPECT_EQ(rollout_.confirmed, 1);
  EXPECT_EQ(rollout_.state, RolloutState::kFailed);
}

TEST_F(RolloutRules, APauseLastsUntilItIsResumed) {
  Begin(4, {.stages = {{.percent = 50}, {.percent = 100}}});
  CheckIn(0);
  ASSERT_THAT(Pause(rollout_, "lunch", "someone", now_, events_), IsOk());
  EXPECT_FALSE(CheckIn(1));
  EXPECT_FALSE(MayOfferAgain(rollout_, devices_[0], now_));
  Report(0, UpdatePhase::kConfirmed);
  now_ += absl::Hours(1000);
  Tick();
  EXPECT_EQ(rollout_.state, RolloutState::kPaused);
  EXPECT_EQ(ReasonOf(Pause(rollout_, "again", "someone", now_, events_)), "ROLLOUT_NOT_RUNNING");
  ASSERT_THAT(Resume(rollout_, "someone", now_, events_), IsOk());
  // The pause is no reason to give the places of the stage to others.
  EXPECT_FALSE(CheckIn(2));
  EXPECT_TRUE(CheckIn(1));
  EXPECT_EQ(ReasonOf(Resume(rollout_, "someone", now_, events_)), "ROLLOUT_NOT_PAUSED");
}

TEST_F(RolloutRules, AStageThatEndsShortOfConfirmationsPausesAndResumingGoesOn) {
  Begin(10,
        {.stages = {{.percent = 50}, {.percent = 100}}, .failure_percent = 50, .failure_count = 3});
  for (std::size_t i = 0; i < 5; ++i) {
    CheckIn(i);
  }
  Report(0, UpdatePhase::kFailed);
  for (std::size_t i = 1; i < 5; ++i) {
    Report(i, UpdatePhase::kConfirmed);
  }
  EXPECT_EQ(rollout_.state, RolloutState::kPaused);
  EXPECT_EQ(rollout_.state_reason, "stage 0 ended with 4 of 5 devices confirmed, want 5");
  ASSERT_THAT(Resume(rollout_, "someone", now_, events_), IsOk());
  EXPECT_EQ(rollout_.state, RolloutState::kRunning);
  EXPECT_EQ(rollout_.stage, 1);
}

TEST_F(RolloutRules, DevicesThatAreNeverThereDoNotKeepARolloutOpen) {
  Begin(4, {.stages = {{.percent = 50}, {.percent = 100}}});
  CheckIn(0);
  Report(0, UpdatePhase::kConfirmed);
  now_ += rollout_.turn_timeout;
  Tick();  // Device 1 never came: stage 0 goes on without it.
  EXPECT_EQ(rollout_.stage, 1);
  now_ += rollout_.turn_timeout;
  Tick();
  EXPECT_EQ(rollout_.state, RolloutState::kCompleted);
  EXPECT_EQ(rollout_.missed, 3);
  EXPECT_EQ(devices_[3].state, RolloutDeviceState::kTimedOut);
}

TEST_F(RolloutRules, ARolloutThatNobodyTookPartInFails) {
  Begin(2, {.stages = {{.percent = 100}}});
  now_ += rollout_.turn_timeout;
  Tick();
  EXPECT_EQ(rollout_.state, RolloutState::kFailed);
}

TEST_F(RolloutRules, ACancelledRolloutIsDone) {
  Begin(2, {.stages = {{.percent = 100}}});
  ASSERT_THAT(Cancel(rollout_, "wrong model", "someone", now_, events_), IsOk());
  EXPECT_FALSE(CheckIn(0));
  EXPECT_EQ(ReasonOf(Cancel(rollout_, "again", "someone", now_, events_)), "ROLLOUT_DONE");
}

TEST_F(RolloutRules, AnExpiredReleasePauses) {
  Begin(2, {.stages = {{.percent = 100}}});
  rollout_.release_expire_time = now_ + absl::Hours(1);
  now_ += absl::Hours(1);
  EXPECT_FALSE(CheckIn(0));
  Settle(rollout_, now_, events_);
  EXPECT_EQ(rollout_.state, RolloutState::kPaused);
}

TEST_F(RolloutRules, UnderRandomInterleavingsTheQuotaHoldsAndFailedRolloutsOfferNothing) {
  std::mt19937 random(7);
  for (int run = 0; run < 300; ++run) {
    events_.clear();
    Begin(1 + static_cast<int>(random() % 40),
          {.stages = {{.percent = 5.0 + static_cast<double>(random() % 20), .confirm_percent = 60},
                      {.percent = 50, .confirm_percent = 80, .soak_seconds = 30},
                      {.percent = 100}},
           .failure_percent = 20,
           .failure_count = 3,
           .device_timeout_seconds = 100});
    bool was_failed = false;
    for (int step = 0; step < 600; ++step) {
      const std::size_t i = random() % devices_.size();
      const int offered = rollout_.offered;
      const RolloutState before = rollout_.state;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          CheckIn(i);
          break;
        case 3:
          Report(i, UpdatePhase::kConfirmed);
          break;
        case 4:
          Report(i, random() % 6 == 0 ? UpdatePhase::kFailed : UpdatePhase::kTrial);
          break;
        case 5:
          now_ += absl::Seconds(random() % 20);
          Tick();
          break;
        case 6:
          if (random() % 20 == 0) {
            (void)Pause(rollout_, "x", "someone", now_, events_);
          }
          break;
        default:
          (void)Resume(rollout_, "someone", now_, events_);
      }
      if (before != RolloutState::kRunning) {
        EXPECT_EQ(rollout_.offered, offered);
      }
      EXPECT_LE(rollout_.offered, rollout_.quota);
      EXPECT_LE(rollout_.confirmed + rollout_.failed, rollout_.offered);
      was_failed = was_failed || rollout_.state == RolloutState::kFailed;
      EXPECT_EQ(was_failed, rollout_.state == RolloutState::kFailed);
    }
    int offered_events = 0;
    for (const RolloutEvent& event : events_) {
      EXPECT_LE(event.offered, event.quota);
      if (event.kind == kEventOffered) {
        EXPECT_EQ(event.offered, ++offered_events);
      }
    }
  }
}

}  // namespace
}  // namespace fieldloop::distribution
