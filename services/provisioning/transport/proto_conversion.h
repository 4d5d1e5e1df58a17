// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROTO_CONVERSION_H_
#define FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROTO_CONVERSION_H_

#include <string>

#include <fieldloop/provisioning/v1/provisioning_service.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/access/access.h"
#include "services/provisioning/domain/api_token.h"
#include "services/provisioning/domain/device.h"
#include "services/provisioning/domain/enrollment_token.h"
#include "services/provisioning/domain/project.h"

namespace fieldloop::provisioning {

// The id in "projects/{id}". INVALID_ARGUMENT naming `field`.
absl::StatusOr<std::string> ParseProjectName(absl::string_view field, absl::string_view name);

// The project and the id in "projects/{project}/{collection}/{id}". INVALID_ARGUMENT naming `name`.
struct ChildName {
  std::string project;
  std::string id;
};
absl::StatusOr<ChildName> ParseChildName(absl::string_view field, absl::string_view collection,
                                         absl::string_view name);

// The id in "apiTokens/{id}". INVALID_ARGUMENT naming `name`.
absl::StatusOr<std::string> ParseApiTokenName(absl::string_view name);

// INVALID_ARGUMENT naming `field` if the role is none.
absl::StatusOr<Role> FromProto(absl::string_view field, v1::Role role);

absl::StatusOr<Project> FromProto(const v1::Project& proto);
// Only what a caller may set. The project is the caller's `project`.
absl::StatusOr<EnrollmentToken> FromProto(const v1::EnrollmentToken& proto, std::string project);
absl::StatusOr<ApiToken> FromProto(const v1::ApiToken& proto);

v1::Project ToProto(const Project& project);
v1::EnrollmentToken ToProto(const EnrollmentToken& token, absl::Time now);
v1::Device ToProto(const Device& device);
v1::ApiToken ToProto(const ApiToken& token);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROTO_CONVERSION_H_
