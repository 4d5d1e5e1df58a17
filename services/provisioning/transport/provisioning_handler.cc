// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/transport/provisioning_handler.h"

#include <string>
#include <utility>
#include <vector>

#include "services/common/grpc/call_access.h"
#include "services/common/grpc/grpc_status.h"
#include "services/common/status/status_macros.h"
#include "services/provisioning/transport/proto_conversion.h"

namespace fieldloop::provisioning {
namespace {

// How late a stream sees a cancelled call or a change by another replica.
constexpr absl::Duration kWatchInterval = absl::Seconds(1);

// For methods that only services call.
absl::Status CheckService(const grpc::ServerContext& context) {
  const Caller caller = CallerOf(context);
  if (!caller.token.empty() || caller.service.empty()) {
    return absl::PermissionDeniedError("only services may call this, with their certificate");
  }
  return absl::OkStatus();
}

template <typename Response>
void SetEnrolled(Enrolled enrolled, Response* response) {
  *response->mutable_device() = ToProto(enrolled.device);
  response->set_certificate(std::move(enrolled.certificate));
  response->set_issuer(std::move(enrolled.issuer));
}

}  // namespace

ProvisioningHandler::ProvisioningHandler(const ProvisioningParts& parts) : parts_(parts) {}

grpc::Status ProvisioningHandler::CreateProject(grpc::ServerContext* context,
                                                const v1::CreateProjectRequest* request,
                                                v1::CreateProjectResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(Project project, FromProto(request->project()));
    FIELDLOOP_ASSIGN_OR_RETURN(project, parts_.projects.Create(std::move(project)));
    *response->mutable_project() = ToProto(project);
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::GetProject(grpc::ServerContext* context,
                                             const v1::GetProjectRequest* request,
                                             v1::GetProjectResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string id, ParseProjectName("name", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Project project, parts_.projects.Get(id));
    *response->mutable_project() = ToProto(project);
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::ListProjects(grpc::ServerContext* context,
                                               const v1::ListProjectsRequest* request,
                                               v1::ListProjectsResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(Page<Project> page,
                               parts_.projects.List(request->page_size(), request->page_token()));
    for (const Project& project : page.rows) {
      *response->add_projects() = ToProto(project);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::CreateEnrollmentToken(
    grpc::ServerContext* context, const v1::CreateEnrollmentTokenRequest* request,
    v1::CreateEnrollmentTokenResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(std::string project, ParseProjectName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(EnrollmentToken token,
                               FromProto(request->enrollment_token(), std::move(project)));
    FIELDLOOP_ASSIGN_OR_RETURN(NewEnrollmentToken made,
                               parts_.enrollment.CreateToken(std::move(token)));
    *response->mutable_enrollment_token() = ToProto(made.token, parts_.clock.Now());
    response->set_secret(std::move(made.secret));
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::ListEnrollmentTokens(
    grpc::ServerContext* context, const v1::ListEnrollmentTokensRequest* request,
    v1::ListEnrollmentTokensResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project,
                               ParseProjectName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<EnrollmentToken> page,
        parts_.enrollment.ListTokens(project, request->page_size(), request->page_token()));
    for (const EnrollmentToken& token : page.rows) {
      *response->add_enrollment_tokens() = ToProto(token, parts_.clock.Now());
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::RevokeEnrollmentToken(
    grpc::ServerContext* context, const v1::RevokeEnrollmentTokenRequest* request,
    v1::RevokeEnrollmentTokenResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const ChildName name,
                               ParseChildName("name", "enrollmentTokens", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const EnrollmentToken token,
                               parts_.enrollment.Revoke(name.project, name.id));
    *response->mutable_enrollment_token() = ToProto(token, parts_.clock.Now());
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::EnrollDevice(grpc::ServerContext* context,
                                               const v1::EnrollDeviceRequest* request,
                                               v1::EnrollDeviceResponse* response) {
  const absl::Status status = [&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckService(*context));
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project,
                               ParseProjectName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(Enrolled enrolled,
                               parts_.enrollment.Enroll(project, request->token(), request->csr(),
                                                        request->hardware_id()));
    SetEnrolled(std::move(enrolled), response);
    return absl::OkStatus();
  }();
  parts_.metrics.CountEnrollment(status);
  return ToGrpcStatus(status);
}

grpc::Status ProvisioningHandler::RenewDeviceCertificate(
    grpc::ServerContext* context, const v1::RenewDeviceCertificateRequest* request,
    v1::RenewDeviceCertificateResponse* response) {
  const absl::Status status = [&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckService(*context));
    FIELDLOOP_ASSIGN_OR_RETURN(const ChildName name,
                               ParseChildName("name", "devices", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(Enrolled enrolled,
                               parts_.enrollment.Renew(name.project, name.id, request->csr()));
    SetEnrolled(std::move(enrolled), response);
    return absl::OkStatus();
  }();
  parts_.metrics.CountRenewal(status);
  return ToGrpcStatus(status);
}

grpc::Status ProvisioningHandler::GetDevice(grpc::ServerContext* context,
                                            const v1::GetDeviceRequest* request,
                                            v1::GetDeviceResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const ChildName name,
                               ParseChildName("name", "devices", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Device device, parts_.devices.Get(name.project, name.id));
    *response->mutable_device() = ToProto(device);
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::ListDevices(grpc::ServerContext* context,
                                              const v1::ListDevicesRequest* request,
                                              v1::ListDevicesResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->parent(), Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string project,
                               ParseProjectName("parent", request->parent()));
    FIELDLOOP_ASSIGN_OR_RETURN(Page<Device> page, parts_.devices.List(project, request->page_size(),
                                                                      request->page_token()));
    for (const Device& device : page.rows) {
      *response->add_devices() = ToProto(device);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::UpdateDevice(grpc::ServerContext* context,
                                               const v1::UpdateDeviceRequest* request,
                                               v1::UpdateDeviceResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->device().name(), Role::kOperator).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const ChildName name,
                               ParseChildName("device.name", "devices", request->device().name()));
    const Attributes attributes(request->device().attributes().begin(),
                                request->device().attributes().end());
    FIELDLOOP_ASSIGN_OR_RETURN(const Device device,
                               parts_.devices.SetAttributes(name.project, name.id, attributes));
    *response->mutable_device() = ToProto(device);
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::RevokeDevice(grpc::ServerContext* context,
                                               const v1::RevokeDeviceRequest* request,
                                               v1::RevokeDeviceResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(
        CheckCall(parts_.access, *context, request->name(), Role::kOperator).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const ChildName name,
                               ParseChildName("name", "devices", request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const Device device,
                               parts_.devices.Revoke(name.project, name.id, request->reason()));
    *response->mutable_device() = ToProto(device);
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::WatchDevices(
    grpc::ServerContext* context, const v1::WatchDevicesRequest* request,
    grpc::ServerWriter<v1::WatchDevicesResponse>* writer) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckService(*context));
    std::int64_t revision = request->after_revision();
    if (revision < 0) {
      return absl::InvalidArgumentError("after_revision: want 0 or more");
    }
    while (!context->IsCancelled()) {
      if (parts_.changes.stopped()) {
        return absl::UnavailableError("the service stops; watch again");
      }
      const std::uint64_t seen = parts_.changes.Current();
      FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Device> devices,
                                 parts_.devices.ChangedAfter(revision));
      for (const Device& device : devices) {
        v1::WatchDevicesResponse response;
        *response.mutable_device() = ToProto(device);
        if (!writer->Write(response)) {
          return absl::CancelledError("the watcher has gone");
        }
        revision = device.revision;
      }
      if (devices.empty()) {
        parts_.changes.Wait(seen, kWatchInterval);
      }
    }
    return absl::CancelledError("the watcher has gone");
  }());
}

grpc::Status ProvisioningHandler::CreateApiToken(grpc::ServerContext* context,
                                                 const v1::CreateApiTokenRequest* request,
                                                 v1::CreateApiTokenResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(ApiToken token, FromProto(request->api_token()));
    FIELDLOOP_ASSIGN_OR_RETURN(NewApiToken made, parts_.api_tokens.CreateToken(std::move(token)));
    *response->mutable_api_token() = ToProto(made.token);
    response->set_secret(std::move(made.secret));
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::ListApiTokens(grpc::ServerContext* context,
                                                const v1::ListApiTokensRequest* request,
                                                v1::ListApiTokensResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kViewer).status());
    FIELDLOOP_ASSIGN_OR_RETURN(
        Page<ApiToken> page,
        parts_.api_tokens.ListTokens(request->page_size(), request->page_token()));
    for (const ApiToken& token : page.rows) {
      *response->add_api_tokens() = ToProto(token);
    }
    response->set_next_page_token(std::move(page.next_page_token));
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::RevokeApiToken(grpc::ServerContext* context,
                                                 const v1::RevokeApiTokenRequest* request,
                                                 v1::RevokeApiTokenResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckCall(parts_.access, *context, "", Role::kAdmin).status());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string id, ParseApiTokenName(request->name()));
    FIELDLOOP_ASSIGN_OR_RETURN(const ApiToken token, parts_.api_tokens.Revoke(id));
    *response->mutable_api_token() = ToProto(token);
    return absl::OkStatus();
  }());
}

grpc::Status ProvisioningHandler::CheckAccess(grpc::ServerContext* context,
                                              const v1::CheckAccessRequest* request,
                                              v1::CheckAccessResponse* response) {
  return ToGrpcStatus([&]() -> absl::Status {
    FIELDLOOP_RETURN_IF_ERROR(CheckService(*context));
    Caller caller;
    Role role = Role::kViewer;
    if (request->token().empty()) {  // Does the project exist?
      caller = CallerOf(*context);
    } else {
      caller.token = request->token();
      FIELDLOOP_ASSIGN_OR_RETURN(role, FromProto("role", request->role()));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(Grant grant, parts_.access.Check(caller, request->project(), role));
    response->set_principal(std::move(grant.principal));
    response->set_project(std::move(grant.project));
    return absl::OkStatus();
  }());
}

}  // namespace fieldloop::provisioning
