// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROJECT_REGISTRY_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROJECT_REGISTRY_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/clock/clock.h"
#include "services/provisioning/domain/page.h"
#include "services/provisioning/domain/provisioning_store.h"

namespace fieldloop::provisioning {

// What can be done with projects. Thread-safe.
class ProjectRegistry {
 public:
  // Both must outlive this object.
  ProjectRegistry(ProvisioningStore& store, const Clock& clock);

  // INVALID_ARGUMENT, ALREADY_EXISTS.
  absl::StatusOr<Project> Create(Project project);
  // NOT_FOUND.
  absl::StatusOr<Project> Get(absl::string_view id);
  // INVALID_ARGUMENT.
  absl::StatusOr<Page<Project>> List(int page_size, absl::string_view page_token);

 private:
  ProvisioningStore& store_;
  const Clock& clock_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_PROJECT_REGISTRY_H_
