// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/distribution_handler.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/grpc/watch.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/distribution/transport/proto_conversion.h"

namespace fieldloop::distribution {
namespace {

// Changes of other replicas are seen after this time.

v1::DeviceState Describe(const DeviceState& state, const FleetService& fleet,
                         const DeviceTable& devices) {
  const std::optional<Device> device = devices.Find(state.device);
  return ToProto(state, fleet.IsConnected(state), device.has_value() ? &*device : nullptr);
}

absl::StatusOr<std::string> ProjectOfSettings(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName(field, "projects/*/fleetSettings", name));
  return absl::StrCat("projects/", parts[0]);
}

}  // namespace

DistributionHandler::DistributionHandler(Access& access, RolloutService& rollouts,
                                         FleetService& fleet, const DeviceTable& devices,
                                         std::function<bool()> stopping)
    : access_(access),
      rollouts_(rollouts),
      fleet_(fleet),
      devices_(devices),
      stopping_(std::move(stopping)) {}

grpc::Status DistributionHandler::GetDeviceState(grpc::ServerContext* context,
                                                 const v1::GetDeviceStateRequest* request,
                                                 v1::GetDeviceStateResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->device(), Role::kViewer).status());
    FIELDLOOP_RETURN_IF_ERROR(
        ParseResourceName("device", "projects/*/devices/*", request->device()).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DeviceState state, fleet_.GetState(request->device()));
    *response->mutable_device_state() = Describe(state, fleet_, devices_);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::ListDeviceStates(grpc::ServerContext* context,
                                                   const v1::ListDeviceStatesRequest* request,
                                                   v1::ListDeviceStatesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const DeviceStatePage page,
                               fleet_.ListStates(request->parent(), request->model_digest(),
                                                 request->page_size(), request->page_token()));
    for (const DeviceState& state : page.states) {
      *response->add_device_states() = Describe(state, fleet_, devices_);
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::GetFleetSummary(grpc::ServerContext* context,
                                                  const v1::GetFleetSummaryRequest* request,
                                                  v1::GetFleetSummaryResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const FleetSummary summary, fleet_.Summarize(request->parent()));
    *response = ToProto(summary);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::CreateRollout(grpc::ServerContext* context,
                                                const v1::CreateRolloutRequest* request,
                                                v1::CreateRolloutResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->parent(), Role::kOperator));
    FIELDLOOP_RETURN_IF_ERROR(
        ParseResourceName("parent", "projects/*", request->parent()).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Rollout rollout,
                               rollouts_.Create(request->parent(), FromProto(request->rollout()),
                                                request->request_id(), grant.principal));
    *response->mutable_rollout() = ToProto(rollout);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::GetRollout(grpc::ServerContext* context,
                                             const v1::GetRolloutRequest* request,
                                             v1::GetRolloutResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const Rollout rollout, rollouts_.Get(request->name()));
    *response->mutable_rollout() = ToProto(rollout);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::ListRollouts(grpc::ServerContext* context,
                                               const v1::ListRolloutsRequest* request,
                                               v1::ListRolloutsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Page<Rollout> page,
        rollouts_.List(request->parent(), request->page_size(), request->page_token()));
    for (const Rollout& rollout : page.rows) {
      *response->add_rollouts() = ToProto(rollout);
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::ListRolloutDevices(grpc::ServerContext* context,
                                                     const v1::ListRolloutDevicesRequest* request,
                                                     v1::ListRolloutDevicesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Page<RolloutDevice> page,
        rollouts_.ListDevices(request->parent(), request->page_size(), request->page_token()));
    for (const RolloutDevice& row : page.rows) {
      *response->add_devices() = ToProto(row);
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::ListRolloutEvents(grpc::ServerContext* context,
                                                    const v1::ListRolloutEventsRequest* request,
                                                    v1::ListRolloutEventsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Page<RolloutEvent> page,
        rollouts_.ListEvents(request->parent(), request->page_size(), request->page_token()));
    for (const RolloutEvent& row : page.rows) {
      *response->add_events() = ToProto(row);
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::PauseRollout(grpc::ServerContext* context,
                                               const v1::PauseRolloutRequest* request,
                                               v1::PauseRolloutResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->name(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Rollout rollout,
        rollouts_.Pause(request->name(), request->reason(), grant.principal));
    *response->mutable_rollout() = ToProto(rollout);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::ResumeRollout(grpc::ServerContext* context,
                                                const v1::ResumeRolloutRequest* request,
                                                v1::ResumeRolloutResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->name(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(const Rollout rollout,
                               rollouts_.Resume(request->name(), grant.principal));
    *response->mutable_rollout() = ToProto(rollout);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::CancelRollout(grpc::ServerContext* context,
                                                const v1::CancelRolloutRequest* request,
                                                v1::CancelRolloutResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Grant grant,
                               CheckCall(access_, *context, request->name(), Role::kOperator));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const Rollout rollout,
        rollouts_.Cancel(request->name(), request->reason(), grant.principal));
    *response->mutable_rollout() = ToProto(rollout);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::GetFleetSettings(grpc::ServerContext* context,
                                                   const v1::GetFleetSettingsRequest* request,
                                                   v1::GetFleetSettingsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project,
                               ProjectOfSettings("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const FleetSettings settings, fleet_.GetSettings(project));
    *response->mutable_fleet_settings() = ToProto(request->name(), settings);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::UpdateFleetSettings(grpc::ServerContext* context,
                                                      const v1::UpdateFleetSettingsRequest* request,
                                                      v1::UpdateFleetSettingsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->fleet_settings().name(), Role::kOperator).status());
    const std::string& name = request->fleet_settings().name();
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project,
                               ProjectOfSettings("fleet_settings.name", name));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const FleetSettings settings,
        fleet_.UpdateSettings(project, FromProto(request->fleet_settings())));
    *response->mutable_fleet_settings() = ToProto(name, settings);
    return absl::OkStatus();
  }());
}

grpc::Status DistributionHandler::WatchRollout(
    grpc::ServerContext* context, const v1::WatchRolloutRequest* request,
    grpc::ServerWriter<v1::WatchRolloutResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(access_, *context, request->name(), Role::kViewer).status());
    const auto look = [&]() -> absl::StatusOr<Sight<v1::WatchRolloutResponse>> {
      FIELDLOOP_ASSIGN_OR_RETURN(const Rollout rollout, rollouts_.Get(request->name()));
      Sight<v1::WatchRolloutResponse> sight{.last = !IsActive(rollout)};
      *sight.response.mutable_rollout() = ToProto(rollout);
      return sight;
    };
    return WatchOne(*context, *writer, rollouts_.changes(), stopping_, look);
  }());
}

}  // namespace fieldloop::distribution
