// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/proto_conversion.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/grpc/proto_time.h"

namespace fieldloop::distribution {
namespace {

v1::Rollout::State ToProto(RolloutState state) {
  switch (state) {  // No default: the compiler reports a state that has no case.
    case RolloutState::kRunning:
      return v1::Rollout::STATE_RUNNING;
    case RolloutState::kPaused:
      return v1::Rollout::STATE_PAUSED;
    case RolloutState::kCompleted:
      return v1::Rollout::STATE_COMPLETED;
    case RolloutState::kFailed:
      return v1::Rollout::STATE_FAILED;
    case RolloutState::kCancelled:
      return v1::Rollout::STATE_CANCELLED;
  }
  return v1::Rollout::STATE_UNSPECIFIED;
}

v1::RolloutDevice::State ToProto(RolloutDeviceState state) {
  switch (state) {
    case RolloutDeviceState::kPending:
      return v1::RolloutDevice::STATE_PENDING;
    case RolloutDeviceState::kOffered:
      return v1::RolloutDevice::STATE_OFFERED;
    case RolloutDeviceState::kDownloading:
      return v1::RolloutDevice::STATE_DOWNLOADING;
    case RolloutDeviceState::kDownloaded:
      return v1::RolloutDevice::STATE_DOWNLOADED;
    case RolloutDeviceState::kTrial:
      return v1::RolloutDevice::STATE_TRIAL;
    case RolloutDeviceState::kConfirmed:
      return v1::RolloutDevice::STATE_CONFIRMED;
    case RolloutDeviceState::kFailed:
      return v1::RolloutDevice::STATE_FAILED;
    case RolloutDeviceState::kTimedOut:
      return v1::RolloutDevice::STATE_TIMED_OUT;
  }
  return v1::RolloutDevice::STATE_UNSPECIFIED;
}

agent::v1::ComponentKind ToProto(ComponentKind kind) {
  return static_cast<agent::v1::ComponentKind>(kind);  // The same numbers.
}

v1::DeviceSelector ToProto(const DeviceSelector& selector) {
  v1::DeviceSelector proto;
  proto.mutable_attributes()->insert(selector.attributes.begin(), selector.attributes.end());
  for (const std::string& hardware_id : selector.hardware_ids) {
    proto.add_hardware_ids(hardware_id);
  }
  return proto;
}

v1::RolloutPlan ToProto(const RolloutPlan& plan) {
  v1::RolloutPlan proto;
  for (const RolloutStage& stage : plan.stages) {
    v1::RolloutStage& added = *proto.add_stages();
    added.set_percent(stage.percent);
    added.set_confirm_percent(stage.confirm_percent);
    added.set_soak_seconds(stage.soak_seconds);
  }
  proto.set_failure_percent(plan.failure_percent);
  proto.set_failure_count(plan.failure_count);
  proto.set_device_timeout_seconds(plan.device_timeout_seconds);
  return proto;
}

}  // namespace

DeviceSelector FromProto(const v1::DeviceSelector& proto) {
  return {.attributes = {proto.attributes().begin(), proto.attributes().end()},
          .hardware_ids = {proto.hardware_ids().begin(), proto.hardware_ids().end()}};
}

RolloutPlan FromProto(const v1::RolloutPlan& proto) {
  RolloutPlan plan;
  for (const v1::RolloutStage& stage : proto.stages()) {
    plan.stages.push_back({.percent = stage.percent(),
                           .confirm_percent = stage.confirm_percent(),
                           .soak_seconds = stage.soak_seconds()});
  }
  plan.failure_percent = proto.failure_percent();
  plan.failure_count = proto.failure_count();
  plan.device_timeout_seconds = proto.device_timeout_seconds();
  return plan;
}

Rollout FromProto(const v1::Rollout& proto) {
  Rollout rollout;
  rollout.release = proto.release();
  rollout.target = FromProto(proto.target());
  rollout.plan = FromProto(proto.plan());
  return rollout;
}

FleetSettings FromProto(const v1::FleetSettings& proto) {
  FleetSettings settings;
  settings.check_in_seconds = proto.check_in_seconds();
  settings.sketch_period_seconds = proto.sketch_period_seconds();
  settings.trial_windows = proto.trial_windows();
  settings.trial_timeout_seconds = proto.trial_timeout_seconds();
  if (proto.has_collection()) {
    settings.collection = Collection{.target = FromProto(proto.collection().target()),
                                     .samples_per_period = proto.collection().samples_per_period(),
                                     .random_share = proto.collection().random_share(),
                                     .samples_total = proto.collection().samples_total()};
  }
  return settings;
}

v1::Rollout ToProto(const Rollout& rollout) {
  v1::Rollout proto;
  proto.set_name(absl::StrCat(rollout.project, "/rollouts/", rollout.number));
  proto.set_release(rollout.release);
  *proto.mutable_target() = ToProto(rollout.target);
  *proto.mutable_plan() = ToProto(rollout.plan);
  proto.set_state(ToProto(rollout.state));
  proto.set_state_reason(rollout.state_reason);
  proto.set_stage(rollout.stage);
  proto.set_target_count(rollout.target_count);
  proto.set_quota(rollout.quota);
  proto.set_offered_count(rollout.offered);
  proto.set_confirmed_count(rollout.confirmed);
  proto.set_failed_count(rollout.failed + rollout.missed);
  proto.set_model(rollout.model);
  proto.set_model_digest(ModelDigestOf(rollout.components));
  for (const Component& component : rollout.components) {
    v1::RolloutComponent& added = *proto.add_components();
    added.set_kind(ToProto(component.kind));
    added.set_digest(component.digest);
    added.set_version(component.version);
  }
  *proto.mutable_create_time() = ToTimestamp(rollout.create_time);
  if (rollout.end_time.has_value()) {
    *proto.mutable_end_time() = ToTimestamp(*rollout.end_time);
  }
  return proto;
}

v1::RolloutDevice ToProto(const RolloutDevice& device) {
  v1::RolloutDevice proto;
  proto.set_device(device.device);
  proto.set_state(ToProto(device.state));
  proto.set_cause(device.cause);
  proto.set_stage(device.stage);
  if (device.offer_time.has_value()) {
    *proto.mutable_offer_time() = ToTimestamp(*device.offer_time);
  }
  *proto.mutable_update_time() = ToTimestamp(device.update_time);
  return proto;
}

v1::RolloutEvent ToProto(const RolloutEvent& event) {
  v1::RolloutEvent proto;
  *proto.mutable_create_time() = ToTimestamp(event.create_time);
  proto.set_kind(event.kind);
  proto.set_device(event.device);
  proto.set_detail(event.detail);
  proto.set_stage(event.stage);
  proto.set_offered_count(event.offered);
  proto.set_quota(event.quota);
  proto.set_author(event.author);
  return proto;
}

v1::FleetSettings ToProto(const std::string& name, const FleetSettings& settings) {
  v1::FleetSettings proto;
  proto.set_name(name);
  proto.set_check_in_seconds(settings.check_in_seconds);
  proto.set_sketch_period_seconds(settings.sketch_period_seconds);
  if (settings.collection.has_value()) {
    v1::Collection& collection = *proto.mutable_collection();
    *collection.mutable_target() = ToProto(settings.collection->target);
    collection.set_samples_per_period(settings.collection->samples_per_period);
    collection.set_random_share(settings.collection->random_share);
    collection.set_samples_total(settings.collection->samples_total);
  }
  proto.set_trial_windows(settings.trial_windows);
  proto.set_trial_timeout_seconds(settings.trial_timeout_seconds);
  proto.set_version(settings.version);
  return proto;
}

v1::DeviceState ToProto(const DeviceState& state, bool connected, const Device* device) {
  v1::DeviceState proto;
  proto.set_device(state.device);
  const ComponentState model = Find(state.components, ComponentKind::kModel);
  proto.set_model_digest(model.digest);
  proto.set_confirmed(model.confirmed);
  proto.set_release_sequence(model.release_sequence);
  for (const ComponentState& component : state.components) {
    v1::DeviceComponent& added = *proto.add_components();
    added.set_kind(ToProto(component.kind));
    added.set_digest(component.digest);
    added.set_confirmed(component.confirmed);
    added.set_release_sequence(component.release_sequence);
  }
  proto.set_hardware_id(state.hardware_id);
  proto.set_agent_version(state.agent_version);
  proto.set_boot_count(state.boot_count);
  proto.set_connected(connected);
  *proto.mutable_last_seen_time() = ToTimestamp(state.last_seen_time);
  proto.set_dropped_uplinks(state.dropped_uplinks);
  if (device != nullptr) {
    proto.mutable_attributes()->insert(device->attributes.begin(), device->attributes.end());
  }
  return proto;
}

v1::GetFleetSummaryResponse ToProto(const FleetSummary& summary) {
  v1::GetFleetSummaryResponse proto;
  proto.set_device_count(summary.device_count);
  proto.set_connected_count(summary.connected_count);
  for (const ModelShare& share : summary.models) {
    v1::ModelShare& added = *proto.add_models();
    added.set_model_digest(share.model_digest);
    added.set_confirmed_count(share.confirmed_count);
    added.set_trial_count(share.trial_count);
  }
  return proto;
}

}  // namespace fieldloop::distribution
