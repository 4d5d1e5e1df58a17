// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/api_token.h"

#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/provisioning/domain/text.h"

namespace fieldloop::provisioning {

absl::Status ValidateNewApiToken(const ApiToken& token, absl::Time now) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateText("api_token.display_name", token.display_name));
  if (!token.project.empty()) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateId("api_token.project", token.project));
  }
  if (token.expire_time <= now) {
    return absl::InvalidArgumentError(absl::StrCat(
        "api_token.expire_time: got ", absl::FormatTime(token.expire_time, absl::UTCTimeZone()),
        ", want a time to come, or none"));
  }
  return absl::OkStatus();
}

bool RoleSuffices(Role has, Role needs) {
  if (needs == Role::kIngest) {
    return has == Role::kIngest || has == Role::kOperator || has == Role::kAdmin;
  }
  return has != Role::kIngest && static_cast<int>(has) >= static_cast<int>(needs);
}

}  // namespace fieldloop::provisioning
