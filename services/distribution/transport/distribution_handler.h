// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DISTRIBUTION_HANDLER_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DISTRIBUTION_HANDLER_H_

#include <functional>

#include <fieldloop/distribution/v1/distribution_service.grpc.pb.h>

#include "services/common/access/access.h"
#include "services/distribution/domain/device_table.h"
#include "services/distribution/domain/fleet_service.h"
#include "services/distribution/domain/rollout_service.h"

namespace fieldloop::distribution {

// Translates RPCs into calls of the domain and back. Holds no rule of its own.
class DistributionHandler final : public v1::DistributionService::Service {
 public:
  // All of them must outlive this object. `stopping` ends watch streams once it returns true.
  DistributionHandler(Access& access, RolloutService& rollouts, FleetService& fleet,
                      const DeviceTable& devices, std::function<bool()> stopping);

  grpc::Status GetDeviceState(grpc::ServerContext* context,
                              const v1::GetDeviceStateRequest* request,
                              v1::GetDeviceStateResponse* response) override;
  grpc::Status ListDeviceStates(grpc::ServerContext* context,
                                const v1::ListDeviceStatesRequest* request,
                                v1::ListDeviceStatesResponse* response) override;
  grpc::Status GetFleetSummary(grpc::ServerContext* context,
                               const v1::GetFleetSummaryRequest* request,
                               v1::GetFleetSummaryResponse* response) override;
  grpc::Status CreateRollout(grpc::ServerContext* context, const v1::CreateRolloutRequest* request,
                             v1::CreateRolloutResponse* response) override;
  grpc::Status GetRollout(grpc::ServerContext* context, const v1::GetRolloutRequest* request,
                          v1::GetRolloutResponse* response) override;
  grpc::Status ListRollouts(grpc::ServerContext* context, const v1::ListRolloutsRequest* request,
                            v1::ListRolloutsResponse* response) override;
  grpc::Status ListRolloutDevices(grpc::ServerContext* context,
                                  const v1::ListRolloutDevicesRequest* request,
                                  v1::ListRolloutDevicesResponse* response) override;
  grpc::Status ListRolloutEvents(grpc::ServerContext* context,
                                 const v1::ListRolloutEventsRequest* request,
                                 v1::ListRolloutEventsResponse* response) override;
  grpc::Status PauseRollout(grpc::ServerContext* context, const v1::PauseRolloutRequest* request,
                            v1::PauseRolloutResponse* response) override;
  grpc::Status ResumeRollout(grpc::ServerContext* context, const v1::ResumeRolloutRequest* request,
                             v1::ResumeRolloutResponse* response) override;
  grpc::Status CancelRollout(grpc::ServerContext* context, const v1::CancelRolloutRequest* request,
                             v1::CancelRolloutResponse* response) override;
  grpc::Status GetFleetSettings(grpc::ServerContext* context,
                                const v1::GetFleetSettingsRequest* request,
                                v1::GetFleetSettingsResponse* response) override;
  grpc::Status UpdateFleetSettings(grpc::ServerContext* context,
                                   const v1::UpdateFleetSettingsRequest* request,
                                   v1::UpdateFleetSettingsResponse* response) override;
  grpc::Status WatchRollout(grpc::ServerContext* context, const v1::WatchRolloutRequest* request,
                            grpc::ServerWriter<v1::WatchRolloutResponse>* writer) override;

 private:
  Access& access_;
  RolloutService& rollouts_;
  FleetService& fleet_;
  const DeviceTable& devices_;
  const std::function<bool()> stopping_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DISTRIBUTION_HANDLER_H_
