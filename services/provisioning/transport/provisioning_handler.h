// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROVISIONING_HANDLER_H_
#define FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROVISIONING_HANDLER_H_

#include <fieldloop/provisioning/v1/provisioning_service.grpc.pb.h>

#include "services/common/access/access.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/provisioning/domain/access_control.h"
#include "services/provisioning/domain/device_registry.h"
#include "services/provisioning/domain/enrollment.h"
#include "services/provisioning/domain/project_registry.h"
#include "services/provisioning/transport/provisioning_metrics.h"

namespace fieldloop::provisioning {

// What the handler calls. All must outlive it.
struct ProvisioningParts {
  Access& access;  // Decides about the handler's own calls and answers CheckAccess.
  ProjectRegistry& projects;
  Enrollment& enrollment;
  DeviceRegistry& devices;
  AccessControl& api_tokens;
  ChangeSignal& changes;  // Its Stop ends the streams.
  ProvisioningMetrics& metrics;
  const Clock& clock;
};

// Checks access, translates RPCs into calls of the domain and back. Holds no rule of its own.
class ProvisioningHandler final : public v1::ProvisioningService::Service {
 public:
  explicit ProvisioningHandler(const ProvisioningParts& parts);

  grpc::Status CreateProject(grpc::ServerContext* context, const v1::CreateProjectRequest* request,
                             v1::CreateProjectResponse* response) override;
  grpc::Status GetProject(grpc::ServerContext* context, const v1::GetProjectRequest* request,
                          v1::GetProjectResponse* response) override;
  grpc::Status ListProjects(grpc::ServerContext* context, const v1::ListProjectsRequest* request,
                            v1::ListProjectsResponse* response) override;
  grpc::Status CreateEnrollmentToken(grpc::ServerContext* context,
                                     const v1::CreateEnrollmentTokenRequest* request,
                                     v1::CreateEnrollmentTokenResponse* response) override;
  grpc::Status ListEnrollmentTokens(grpc::ServerContext* context,
                                    const v1::ListEnrollmentTokensRequest* request,
                                    v1::ListEnrollmentTokensResponse* response) override;
  grpc::Status RevokeEnrollmentToken(grpc::ServerContext* context,
                                     const v1::RevokeEnrollmentTokenRequest* request,
                                     v1::RevokeEnrollmentTokenResponse* response) override;
  grpc::Status EnrollDevice(grpc::ServerContext* context, const v1::EnrollDeviceRequest* request,
                            v1::EnrollDeviceResponse* response) override;
  grpc::Status RenewDeviceCertificate(grpc::ServerContext* context,
                                      const v1::RenewDeviceCertificateRequest* request,
                                      v1::RenewDeviceCertificateResponse* response) override;
  grpc::Status GetDevice(grpc::ServerContext* context, const v1::GetDeviceRequest* request,
                         v1::GetDeviceResponse* response) override;
  grpc::Status ListDevices(grpc::ServerContext* context, const v1::ListDevicesRequest* request,
                           v1::ListDevicesResponse* response) override;
  grpc::Status UpdateDevice(grpc::ServerContext* context, const v1::UpdateDeviceRequest* request,
                            v1::UpdateDeviceResponse* response) override;
  grpc::Status RevokeDevice(grpc::ServerContext* context, const v1::RevokeDeviceRequest* request,
                            v1::RevokeDeviceResponse* response) override;
  grpc::Status WatchDevices(grpc::ServerContext* context, const v1::WatchDevicesRequest* request,
                            grpc::ServerWriter<v1::WatchDevicesResponse>* writer) override;
  grpc::Status CreateApiToken(grpc::ServerContext* context,
                              const v1::CreateApiTokenRequest* request,
                              v1::CreateApiTokenResponse* response) override;
  grpc::Status ListApiTokens(grpc::ServerContext* context, const v1::ListApiTokensRequest* request,
                             v1::ListApiTokensResponse* response) override;
  grpc::Status RevokeApiToken(grpc::ServerContext* context,
                              const v1::RevokeApiTokenRequest* request,
                              v1::RevokeApiTokenResponse* response) override;
  grpc::Status CheckAccess(grpc::ServerContext* context, const v1::CheckAccessRequest* request,
                           v1::CheckAccessResponse* response) override;

 private:
  const ProvisioningParts parts_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROVISIONING_HANDLER_H_
