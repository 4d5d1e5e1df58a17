// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/project.h"

#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/provisioning/domain/text.h"

namespace fieldloop::provisioning {

absl::Status ValidateNewProject(const Project& project) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateId("project.name", project.id));
  return ValidateText("project.display_name", project.display_name);
}

}  // namespace fieldloop::provisioning
