// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/transport/proto_conversion.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/grpc/proto_time.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

v1::EnrollmentToken::State ToProto(EnrollmentToken::State state) {
  switch (state) {
    case EnrollmentToken::State::kActive:
      return v1::EnrollmentToken::STATE_ACTIVE;
    case EnrollmentToken::State::kUsed:
      return v1::EnrollmentToken::STATE_USED;
    case EnrollmentToken::State::kExpired:
      return v1::EnrollmentToken::STATE_EXPIRED;
    case EnrollmentToken::State::kRevoked:
      return v1::EnrollmentToken::STATE_REVOKED;
  }
  return v1::EnrollmentToken::STATE_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<std::string> ParseProjectName(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::string> parts,
                             ParseResourceName(field, "projects/*", name));
  return std::move(parts[0]);
}

absl::StatusOr<ChildName> ParseChildName(absl::string_view field, absl::string_view collection,
                                         absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::vector<std::string> parts,
      ParseResourceName(field, absl::StrCat("projects/*/", collection, "/*"), name));
  return ChildName{.project = std::move(parts[0]), .id = std::move(parts[1])};
}

absl::StatusOr<std::string> ParseApiTokenName(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::string> parts,
                             ParseResourceName("name", "apiTokens/*", name));
  return std::move(parts[0]);
}

absl::StatusOr<Role> FromProto(absl::string_view field, v1::Role role) {
  switch (role) {
    case v1::ROLE_INGEST:
      return Role::kIngest;
    case v1::ROLE_VIEWER:
      return Role::kViewer;
    case v1::ROLE_OPERATOR:
      return Role::kOperator;
    case v1::ROLE_ADMIN:
      return Role::kAdmin;
    default:  // Numbers of a newer client arrive here too.
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": got ", static_cast<int>(role), ", want a role"));
  }
}

absl::StatusOr<Project> FromProto(const v1::Project& proto) {
  FIELDLOOP_ASSIGN_OR_RETURN(std::string id, ParseProjectName("project.name", proto.name()));
  return Project{
      .id = std::move(id), .display_name = proto.display_name(), .create_time = absl::Time()};
}

absl::StatusOr<EnrollmentToken> FromProto(const v1::EnrollmentToken& proto, std::string project) {
  EnrollmentToken token;
  token.project = std::move(project);
  token.hardware_id = proto.hardware_id();
  token.device_id = proto.device_id();
  token.attributes = Attributes(proto.attributes().begin(), proto.attributes().end());
  token.expire_time = absl::InfinitePast();
  if (proto.has_expire_time()) {
    FIELDLOOP_ASSIGN_OR_RETURN(token.expire_time,
                               FromTimestamp("enrollment_token.expire_time", proto.expire_time()));
  }
  return token;
}

absl::StatusOr<ApiToken> FromProto(const v1::ApiToken& proto) {
  ApiToken token;
  token.display_name = proto.display_name();
  FIELDLOOP_ASSIGN_OR_RETURN(token.role, FromProto("api_token.role", proto.role()));
  if (!proto.project().empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(token.project,
                               ParseProjectName("api_token.project", proto.project()));
  }
  if (proto.has_expire_time()) {
    FIELDLOOP_ASSIGN_OR_RETURN(token.expire_time,
                               FromTimestamp("api_token.expire_time", proto.expire_time()));
  }
  return token;
}

v1::Project ToProto(const Project& project) {
  v1::Project proto;
  proto.set_name(absl::StrCat("projects/", project.id));
  proto.set_display_name(project.display_name);
  *proto.mutable_create_time() = ToTimestamp(project.create_time);
  return proto;
}

v1::EnrollmentToken ToProto(const EnrollmentToken& token, absl::Time now) {
  v1::EnrollmentToken proto;
  proto.set_name(absl::StrCat("projects/", token.project, "/enrollmentTokens/", token.id));
  proto.set_hardware_id(token.hardware_id);
  proto.set_device_id(token.device_id);
  proto.mutable_attributes()->insert(token.attributes.begin(), token.attributes.end());
  *proto.mutable_expire_time() = ToTimestamp(token.expire_time);
  proto.set_state(ToProto(StateOf(token, now)));
  if (!token.used_by.empty()) {
    proto.set_device(absl::StrCat("projects/", token.project, "/devices/", token.used_by));
  }
  *proto.mutable_create_time() = ToTimestamp(token.create_time);
  return proto;
}

v1::Device ToProto(const Device& device) {
  v1::Device proto;
  proto.set_name(absl::StrCat("projects/", device.project, "/devices/", device.id));
  proto.set_hardware_id(device.hardware_id);
  proto.mutable_attributes()->insert(device.attributes.begin(), device.attributes.end());
  proto.set_state(device.revoked ? v1::Device::STATE_REVOKED : v1::Device::STATE_ACTIVE);
  proto.set_revoke_reason(device.revoke_reason);
  *proto.mutable_create_time() = ToTimestamp(device.create_time);
  *proto.mutable_certificate_expire_time() = ToTimestamp(device.certificate_expire_time);
  proto.set_revision(device.revision);
  return proto;
}

v1::ApiToken ToProto(const ApiToken& token) {
  v1::ApiToken proto;
  proto.set_name(absl::StrCat("apiTokens/", token.id));
  proto.set_display_name(token.display_name);
  proto.set_role(static_cast<v1::Role>(token.role));
  if (!token.project.empty()) {
    proto.set_project(absl::StrCat("projects/", token.project));
  }
  if (token.expire_time != absl::InfiniteFuture()) {
    *proto.mutable_expire_time() = ToTimestamp(token.expire_time);
  }
  proto.set_revoked(token.revoked);
  *proto.mutable_create_time() = ToTimestamp(token.create_time);
  return proto;
}

}  // namespace fieldloop::provisioning
