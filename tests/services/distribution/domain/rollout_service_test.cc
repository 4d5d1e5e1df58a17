// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/rollout_service.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "services/common/trace/span.h"
#include "tests/services/common/trace/span_collector.h"
#include "tests/services/distribution/support/fake_backends.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

class RolloutServiceTest : public ::testing::Test {
 protected:
  absl::StatusOr<Rollout> Create(const Rollout& wanted, const std::string& request_id = "") {
    return all_.rollouts.Create(kProject, wanted, request_id, "apiTokens/me");
  }
  std::string Name(const Rollout& rollout) {
    return absl::StrCat(rollout.project, "/rollouts/", rollout.number);
  }
  static ComponentState Model(const std::string& digest, bool confirmed) {
    return {.kind = ComponentKind::kModel,
            .digest = digest,
            .confirmed = confirmed,
            .release_sequence = 1};
  }
  // Devices that get an offer when all of them check in once.
  int CheckInAll(int count) {
    int offers = 0;
    for (int i = 0; i < count; ++i) {
      const auto offer = all_.rollouts.CheckIn(DeviceName(i), {}, 0);
      EXPECT_THAT(offer, IsOk());
      offers += offer.ok() && offer->has_value() ? 1 : 0;
    }
    return offers;
  }

  TestDistribution all_;
};

TEST_F(RolloutServiceTest, TheTargetIsFixedFromTheDevicesThatMatchAndAreTrusted) {
  all_.AddDevices(6);
  all_.AddDevice({.name = DeviceName(0),
                  .hardware_id = "posix",
                  .attributes = {{"site", "a"}},
                  .revoked = true,
                  .revision = 50});
  Rollout wanted = all_.Wanted({100});
  wanted.target.attributes = {{"site", "a"}};
  const absl::StatusOr<Rollout> rollout = Create(wanted);
  ASSERT_THAT(rollout, IsOk());
  EXPECT_EQ(rollout->target_count, 2);
  EXPECT_EQ(all_.registry.downloads, 1);  // At hand before the first device asks.
}

TEST_F(RolloutServiceTest, RefusesWhatCannotBeRolledOutWithAReason) {
  EXPECT_EQ(ReasonOf(Create(all_.Wanted({100})).status()), "NO_DEVICES");
  all_.AddDevices(2);
  all_.registry.release.hardware_ids = {"other"};
  EXPECT_EQ(ReasonOf(Create(all_.Wanted({100})).status()), "NO_DEVICES");
  all_.registry.release.hardware_ids = {};
  all_.registry.release.is_signed = false;
  EXPECT_EQ(ReasonOf(Create(all_.Wanted({100})).status()), "RELEASE_NOT_SIGNED");
  all_.registry.release.is_signed = true;
  all_.registry.release.expire_time = all_.clock.Now();
  EXPECT_EQ(ReasonOf(Create(all_.Wanted({100})).status()), "RELEASE_EXPIRED");
  all_.registry.release.expire_time = absl::InfiniteFuture();
  Rollout foreign = all_.Wanted({100});
  foreign.release = "projects/other/releases/1";
  EXPECT_THAT(Create(foreign), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Create(all_.Wanted({100})), IsOk());
  EXPECT_EQ(ReasonOf(Create(all_.Wanted({100})).status()), "ROLLOUT_ACTIVE");
}

TEST_F(RolloutServiceTest, ARepeatedRequestReturnsTheFirstRollout) {
  all_.AddDevices(2);
  const absl::StatusOr<Rollout> first = Create(all_.Wanted({100}), "once");
  const absl::StatusOr<Rollout> again = Create(all_.Wanted({100}), "once");
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(first->number, again->number);
}

TEST_F(RolloutServiceTest, OffersNoMoreThanTheQuotaAndAgainOnlyInANewSession) {
  all_.AddDevices(10);
  const Rollout rollout = *Create(all_.Wanted({30, 100}));
  EXPECT_EQ(CheckInAll(10), 3);
  EXPECT_EQ(CheckInAll(10), 3);  // The same three, in new sessions.
  EXPECT_EQ(all_.rollouts.Get(Name(rollout))->offered, 3);
  for (int i = 0; i < 10; ++i) {
    const auto offer = all_.rollouts.CheckIn(DeviceName(i), {}, rollout.number);
    EXPECT_FALSE(offer->has_value());
  }
}

TEST_F(RolloutServiceTest, ConcurrentCheckInsNeverExceedTheQuota) {
  all_.AddDevices(40);
  const Rollout rollout = *Create(all_.Wanted({25, 100}));
  std::vector<std::thread> threads;
  std::atomic<int> offers{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        const auto offer =
            all_.rollouts.CheckIn(DeviceName((i * 7 + t * 5) % 40), {}, rollout.number);
        offers += offer.ok() && offer->has_value() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(offers.load(), 10);
  EXPECT_EQ(all_.rollouts.Get(Name(rollout))->offered, 10);
}

TEST_F(RolloutServiceTest, ADeviceThatRunsTheReleaseAlreadyCountsAtItsTurn) {
  all_.AddDevices(1);
  const Rollout rollout = *Create(all_.Wanted({100}));
  const auto offer =
      all_.rollouts.CheckIn(DeviceName(0), {Model(all_.registry.model_digest, true)}, 0);
  ASSERT_THAT(offer, IsOk());
  EXPECT_FALSE(offer->has_value());
  const Rollout after = *all_.rollouts.Get(Name(rollout));
  EXPECT_EQ(after.offered, 1);
  EXPECT_EQ(after.confirmed, 1);
  EXPECT_EQ(after.state, RolloutState::kCompleted);
}

TEST_F(RolloutServiceTest, OnlyTheWholeSetOfAReleaseIsWhatADeviceRunsAlready) {
  const ComponentState configuration{
      .kind = ComponentKind::kConfiguration,
      .digest = all_.registry.Add(ComponentKind::kConfiguration, "c1", "rate=5"),
      .confirmed = true,
      .release_sequence = 1};
  all_.AddDevices(1);
  const Rollout rollout = *Create(all_.Wanted({100}));
  EXPECT_EQ(all_.registry.downloads, 2);  // Every component is at hand.
  const std::vector<ComponentState> model = {Model(all_.registry.model_digest, true)};
  const auto offer = all_.rollouts.CheckIn(DeviceName(0), model, 0);
  ASSERT_THAT(offer, IsOk());
  ASSERT_TRUE(offer->has_value());
  EXPECT_EQ((*offer)->artifact_digests.size(), 2U);
  ASSERT_THAT(all_.rollouts.Running(DeviceName(0), model), IsOk());
  EXPECT_EQ(all_.rollouts.Get(Name(rollout))->confirmed, 0);
  ASSERT_THAT(all_.rollouts.Running(DeviceName(0), {model[0], configuration}), IsOk());
  EXPECT_EQ(all_.rollouts.Get(Name(rollout))->state, RolloutState::kCompleted);
}

TEST_F(RolloutServiceTest, ARepeatedReportIsCountedOnce) {
  all_.AddDevices(2);
  const Rollout rollout = *Create(all_.Wanted({100}));
  ASSERT_EQ(CheckInAll(2), 2);
  UpdateReport report;
  report.sequence = 5;
  report.phase = UpdatePhase::kConfirmed;
  report.active_digest = all_.registry.model_digest;
  ASSERT_THAT(all_.rollouts.Report(DeviceName(0), "1", report), IsOk());
  ASSERT_THAT(all_.rollouts.Report(DeviceName(0), "1", report), IsOk());
  EXPECT_EQ(all_.rollouts.Get(Name(rollout))->confirmed, 1);
  int reports = 0;
  const absl::StatusOr<Page<RolloutEvent>> events = all_.rollouts.ListEvents(Name(rollout), 0, "");
  ASSERT_THAT(events, IsOk());
  for (const RolloutEvent& event : events->rows) {
    reports += event.kind == kEventDeviceState ? 1 : 0;
  }
  EXPECT_EQ(reports, 1);
}

TEST_F(RolloutServiceTest, AReportOfAnUnknownRolloutIsDealtWith) {
  all_.AddDevices(1);
  EXPECT_THAT(all_.rollouts.Report(DeviceName(0), "77", {}), IsOk());
  EXPECT_THAT(all_.rollouts.Report(DeviceName(0), "what", {}), IsOk());
}

TEST_F(RolloutServiceTest, TickTimesOutSilentDevicesAndFailsTheRollout) {
  all_.AddDevices(3);
  const Rollout rollout = *Create(all_.Wanted({100}));
  ASSERT_EQ(CheckInAll(3), 3);
  all_.clock.Advance(absl::Seconds(3600));
  ASSERT_THAT(all_.rollouts.Tick(), IsOk());
  const Rollout after = *all_.rollouts.Get(Name(rollout));
  EXPECT_EQ(after.failed, 3);
  EXPECT_EQ(after.state, RolloutState::kFailed);
  EXPECT_EQ(CheckInAll(3), 0);
}

TEST_F(RolloutServiceTest, AStepIsATraceLinkedToTheCallThatStartedTheRollout) {
  const ::fieldloop::testing::SpanCollector spans;
  all_.AddDevices(3);
  TraceContext call;
  {
    const WorkSpan work("CreateRollout", SpanKind::kServer, {}, {});
    call = CurrentCall().trace;
    ASSERT_THAT(Create(all_.Wanted({100})), IsOk());
  }
  const auto offer = all_.rollouts.CheckIn(DeviceName(0), {}, 0);
  EXPECT_EQ((*offer)->traceparent, FormatTraceparent(call));
  ASSERT_THAT(all_.rollouts.Tick(), IsOk());
  EXPECT_EQ(spans.All().size(), 1U);  // A step that changes nothing is none.
  all_.clock.Advance(absl::Seconds(3600));
  ASSERT_THAT(all_.rollouts.Tick(), IsOk());
  const SpanData step = spans.Get("rollout", SpanKind::kInternal);
  EXPECT_NE(step.trace.trace_id, call.trace_id);
  EXPECT_EQ(step.parent_span_id, "");
  EXPECT_THAT(step.links, ::testing::ElementsAre(call));
}

TEST_F(RolloutServiceTest, EventsArePagedOldestFirst) {
  all_.AddDevices(3);
  const Rollout rollout = *Create(all_.Wanted({100}));
  CheckInAll(3);
  std::vector<std::string> kinds;
  std::string token;
  do {
    const auto page = all_.rollouts.ListEvents(Name(rollout), 2, token);
    ASSERT_THAT(page, IsOk());
    for (const RolloutEvent& event : page->rows) {
      kinds.push_back(event.kind);
    }
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_THAT(kinds,
              ::testing::ElementsAre("CREATED", "STAGE_OPENED", "OFFERED", "OFFERED", "OFFERED"));
}

TEST_F(RolloutServiceTest, AReplicaOffersWhatAnotherBeganOnceItHasAskedForRootDocuments) {
  all_.AddDevices(2);
  RootCatalog roots(all_.registry);
  RolloutService other(*all_.rollout_store, all_.registry, all_.identity, all_.artifacts, roots,
                       all_.fleet, all_.clock);
  ASSERT_THAT(other.LearnRoots(), IsOk());
  all_.registry.roots.push_back({.version = 2, .document = "two"});
  ASSERT_THAT(Create(all_.Wanted({100})), IsOk());
  EXPECT_TRUE(all_.rollouts.CheckIn(DeviceName(0), {}, 0)->has_value());
  EXPECT_FALSE(other.CheckIn(DeviceName(1), {}, 0)->has_value());
  ASSERT_THAT(other.LearnRoots(), IsOk());
  EXPECT_EQ(roots.Above(1).size(), 1U);
  EXPECT_TRUE(other.CheckIn(DeviceName(1), {}, 0)->has_value());
  // Nothing began since: it is not asked again until half a minute is over.
  all_.registry.roots.push_back({.version = 3, .document = "three"});
  ASSERT_THAT(other.LearnRoots(), IsOk());
  EXPECT_EQ(roots.Above(2).size(), 0U);
  all_.clock.Advance(absl::Seconds(30));
  ASSERT_THAT(other.LearnRoots(), IsOk());
  EXPECT_EQ(roots.Above(2).size(), 1U);
}

TEST_F(RolloutServiceTest, ADeviceIsConnectedToTheReplicaThatHeardItLast) {
  all_.AddDevices(1);
  FleetService& left = all_.fleet;
  FleetService right(*all_.fleet_store, all_.devices, all_.clock);
  const auto connected = [](FleetService& fleet) {
    return fleet.IsConnected(*fleet.GetState(DeviceName(0)));
  };
  DeviceState state;
  state.device = DeviceName(0);
  ASSERT_THAT(left.RecordState(state), IsOk());
  left.Seen(DeviceName(0), all_.clock.Now() + absl::Minutes(1));
  ASSERT_THAT(left.FlushPresence(), IsOk());
  all_.clock.Advance(absl::Seconds(1));
  // It moves to the other replica; the first one notices that it has gone after that.
  right.Seen(DeviceName(0), all_.clock.Now() + absl::Minutes(1));
  ASSERT_THAT(right.FlushPresence(), IsOk());
  left.Gone(DeviceName(0));
  EXPECT_TRUE(connected(left));
  ASSERT_THAT(left.FlushPresence(), IsOk());
  EXPECT_TRUE(connected(left));
  EXPECT_TRUE(connected(right));
  right.Gone(DeviceName(0));
  ASSERT_THAT(right.FlushPresence(), IsOk());
  EXPECT_FALSE(connected(left));
}

}  // namespace
}  // namespace fieldloop::distribution
