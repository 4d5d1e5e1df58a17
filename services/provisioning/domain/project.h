// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROJECT_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROJECT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace fieldloop::provisioning {

// A tenant.
struct Project {
  std::string id{};
  std::string display_name{};
  absl::Time create_time{};

  friend bool operator==(const Project&, const Project&) = default;
};

// OK if `project` may be created; INVALID_ARGUMENT naming the first bad field otherwise.
absl::Status ValidateNewProject(const Project& project);

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROJECT_H_
