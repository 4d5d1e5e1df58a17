// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/distribution_handler.h"

#include <memory>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "services/common/grpc/client_call.h"
#include "services/common/status/error_reason.h"
#include "tests/services/distribution/support/fake_backends.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::distribution {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using Stub = v1::DistributionService::Stub;

// Lets everyone do what `role` may.
class FakeAccess final : public Access {
 public:
  absl::StatusOr<Grant> Check(const Caller& /*caller*/, absl::string_view /*resource*/,
                              Role wanted) override {
    if (wanted > role) {
      return absl::PermissionDeniedError("the role does not suffice");
    }
    return Grant{.principal = "apiTokens/me", .project = ""};
  }
  Role role = Role::kOperator;
};

// A real server, reached without a socket.
class DistributionHandlerTest : public ::testing::Test {
 protected:
  DistributionHandlerTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&handler_);
    server_ = builder.BuildAndStart();
    stub_ = v1::DistributionService::NewStub(server_->InProcessChannel({}));
    all_.AddDevices(4);
  }

  absl::StatusOr<v1::CreateRolloutResponse> Create() {
    v1::CreateRolloutRequest request;
    request.set_parent(kProject);
    request.mutable_rollout()->set_release(all_.registry.release.name);
    request.mutable_rollout()->mutable_plan()->add_stages()->set_percent(50);
    request.mutable_rollout()->mutable_plan()->add_stages()->set_percent(100);
    return CallUnary(*stub_, &Stub::CreateRollout, request);
  }

  TestDistribution all_;
  FakeAccess access_;
  DistributionHandler handler_{access_, all_.rollouts, all_.fleet, all_.devices,
                               [] { return false; }};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Stub> stub_;
};

TEST_F(DistributionHandlerTest, ARolloutIsCreatedPausedResumedAndCancelled) {
  const auto created = Create();
  ASSERT_THAT(created, IsOk());
  const v1::Rollout& rollout = created->rollout();
  EXPECT_EQ(rollout.name(), "projects/motor/rollouts/1");
  EXPECT_EQ(rollout.state(), v1::Rollout::STATE_RUNNING);
  EXPECT_EQ(rollout.target_count(), 4);
  EXPECT_EQ(rollout.quota(), 2);
  EXPECT_EQ(rollout.plan().failure_percent(), 10);
  EXPECT_EQ(rollout.model_digest(), all_.registry.model_digest);
  ASSERT_EQ(rollout.components_size(), 1);
  EXPECT_EQ(rollout.components(0).digest(), all_.registry.model_digest);
  EXPECT_EQ(rollout.components(0).version(), "1");

  v1::PauseRolloutRequest pause;
  pause.set_name(rollout.name());
  EXPECT_THAT(CallUnary(*stub_, &Stub::PauseRollout, pause),
              StatusIs(absl::StatusCode::kInvalidArgument));  // No reason.
  pause.set_reason("lunch");
  EXPECT_EQ(CallUnary(*stub_, &Stub::PauseRollout, pause)->rollout().state(),
            v1::Rollout::STATE_PAUSED);
  v1::ResumeRolloutRequest resume;
  resume.set_name(rollout.name());
  EXPECT_EQ(CallUnary(*stub_, &Stub::ResumeRollout, resume)->rollout().state(),
            v1::Rollout::STATE_RUNNING);
  v1::CancelRolloutRequest cancel;
  cancel.set_name(rollout.name());
  cancel.set_reason("enough");
  EXPECT_EQ(CallUnary(*stub_, &Stub::CancelRollout, cancel)->rollout().state(),
            v1::Rollout::STATE_CANCELLED);
  EXPECT_EQ(ReasonOf(CallUnary(*stub_, &Stub::CancelRollout, cancel).status()), "ROLLOUT_DONE");

  v1::ListRolloutEventsRequest list;
  list.set_parent(rollout.name());
  const auto events = CallUnary(*stub_, &Stub::ListRolloutEvents, list);
  ASSERT_THAT(events, IsOk());
  EXPECT_EQ(events->events(0).kind(), "CREATED");
  EXPECT_EQ(events->events(0).author(), "apiTokens/me");
  EXPECT_EQ(events->events(4).kind(), "CANCELLED");
}

TEST_F(DistributionHandlerTest, AViewerReadsAndChangesNothing) {
  ASSERT_THAT(Create(), IsOk());
  access_.role = Role::kViewer;
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kPermissionDenied));
  v1::ListRolloutsRequest list;
  list.set_parent(kProject);
  EXPECT_EQ(CallUnary(*stub_, &Stub::ListRollouts, list)->rollouts_size(), 1);
}

TEST_F(DistributionHandlerTest, AWatchShowsTheRolloutAndClosesWhenItIsDone) {
  ASSERT_THAT(Create(), IsOk());
  grpc::ClientContext context;
  v1::WatchRolloutRequest request;
  request.set_name("projects/motor/rollouts/1");
  const auto reader = stub_->WatchRollout(&context, request);
  v1::WatchRolloutResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.rollout().state(), v1::Rollout::STATE_RUNNING);
  ASSERT_THAT(all_.rollouts.Cancel(request.name(), "enough", "me"), IsOk());
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.rollout().state(), v1::Rollout::STATE_CANCELLED);
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(DistributionHandlerTest, SettingsStartWithDefaultsAndAreReplaced) {
  v1::GetFleetSettingsRequest get;
  get.set_name("projects/motor/fleetSettings");
  EXPECT_EQ(CallUnary(*stub_, &Stub::GetFleetSettings, get)->fleet_settings().check_in_seconds(),
            300);
  v1::UpdateFleetSettingsRequest update;
  update.mutable_fleet_settings()->set_name(get.name());
  update.mutable_fleet_settings()->set_check_in_seconds(5);
  update.mutable_fleet_settings()->mutable_collection()->set_samples_per_period(4);
  const auto updated = CallUnary(*stub_, &Stub::UpdateFleetSettings, update);
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ(updated->fleet_settings().version(), 2);
  EXPECT_EQ(updated->fleet_settings().collection().random_share(), 0.5);
  EXPECT_EQ(CallUnary(*stub_, &Stub::GetFleetSettings, get)->fleet_settings().check_in_seconds(),
            5);
  update.mutable_fleet_settings()->set_check_in_seconds(0.5);
  EXPECT_THAT(CallUnary(*stub_, &Stub::UpdateFleetSettings, update),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DistributionHandlerTest, DeviceStatesCarryAttributesAndAreSummedUp) {
  DeviceState state;
  state.device = DeviceName(0);
  state.components = {
      {.kind = ComponentKind::kModel, .digest = "ab", .confirmed = true, .release_sequence = 3},
      {.kind = ComponentKind::kConfiguration,
       .digest = "cd",
       .confirmed = false,
       .release_sequence = 4}};
  ASSERT_THAT(all_.fleet.RecordState(state), IsOk());
  state.device = DeviceName(1);
  state.components.front().confirmed = false;
  ASSERT_THAT(all_.fleet.RecordState(state), IsOk());
  all_.fleet.Seen(DeviceName(0), all_.clock.Now() + absl::Seconds(5));

  v1::GetDeviceStateRequest get;
  get.set_device(DeviceName(0));
  const auto got = CallUnary(*stub_, &Stub::GetDeviceState, get);
  ASSERT_THAT(got, IsOk());
  EXPECT_TRUE(got->device_state().connected());
  EXPECT_EQ(got->device_state().attributes().at("site"), "a");
  EXPECT_EQ(got->device_state().model_digest(), "ab");
  EXPECT_EQ(got->device_state().release_sequence(), 3U);
  ASSERT_EQ(got->device_state().components_size(), 2);
  EXPECT_EQ(got->device_state().components(0).digest(), "ab");
  EXPECT_EQ(got->device_state().components(1).kind(), agent::v1::COMPONENT_KIND_CONFIGURATION);
  EXPECT_EQ(got->device_state().components(1).digest(), "cd");
  EXPECT_FALSE(got->device_state().components(1).confirmed());
  EXPECT_EQ(got->device_state().components(1).release_sequence(), 4U);
  get.set_device(DeviceName(2));
  EXPECT_THAT(CallUnary(*stub_, &Stub::GetDeviceState, get), StatusIs(absl::StatusCode::kNotFound));

  v1::GetFleetSummaryRequest request;
  request.set_parent(kProject);
  const auto summary = CallUnary(*stub_, &Stub::GetFleetSummary, request);
  ASSERT_THAT(summary, IsOk());
  EXPECT_EQ(summary->device_count(), 4);
  EXPECT_EQ(summary->connected_count(), 1);
  ASSERT_EQ(summary->models_size(), 1);
  EXPECT_EQ(summary->models(0).confirmed_count(), 1);
  EXPECT_EQ(summary->models(0).trial_count(), 1);
}

TEST_F(DistributionHandlerTest, DevicesAreFoundByTheModelThatTheyRun) {
  const std::string digest(64, 'a');
  for (int i = 0; i < 3; ++i) {
    DeviceState state;
    state.device = DeviceName(i);
    state.components = {{.kind = ComponentKind::kModel,
                         .digest = i == 1 ? std::string(64, 'b') : digest,
                         .confirmed = true,
                         .release_sequence = 1}};
    ASSERT_THAT(all_.fleet.RecordState(state), IsOk());
  }
  v1::ListDeviceStatesRequest request;
  request.set_parent(kProject);
  request.set_model_digest(digest);
  request.set_page_size(1);
  const auto first = CallUnary(*stub_, &Stub::ListDeviceStates, request);
  ASSERT_THAT(first, IsOk());
  ASSERT_EQ(first->device_states_size(), 1);
  EXPECT_EQ(first->device_states(0).device(), DeviceName(0));
  request.set_page_token(first->next_page_token());
  const auto second = CallUnary(*stub_, &Stub::ListDeviceStates, request);
  ASSERT_THAT(second, IsOk());
  ASSERT_EQ(second->device_states_size(), 1);
  EXPECT_EQ(second->device_states(0).device(), DeviceName(2));
  EXPECT_EQ(second->next_page_token(), "");

  request.set_model_digest("abc");
  EXPECT_THAT(CallUnary(*stub_, &Stub::ListDeviceStates, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DistributionHandlerTest, WhoWasHeardSurvivesInTheStoreOnceFlushed) {
  DeviceState state;
  state.device = DeviceName(0);
  ASSERT_THAT(all_.fleet.RecordState(state), IsOk());
  all_.clock.Advance(absl::Seconds(30));
  all_.fleet.Seen(DeviceName(0), all_.clock.Now() + absl::Seconds(5));
  ASSERT_THAT(all_.fleet.FlushPresence(), IsOk());
  EXPECT_EQ(all_.fleet_store->GetState(DeviceName(0))->last_seen_time, all_.clock.Now());
  all_.fleet.Gone(DeviceName(0));
  ASSERT_THAT(all_.fleet.FlushPresence(), IsOk());
  EXPECT_FALSE(all_.fleet.IsConnected(*all_.fleet.GetState(DeviceName(0))));
}

}  // namespace
}  // namespace fieldloop::distribution
