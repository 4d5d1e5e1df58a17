// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/project_registry.h"

#include <utility>

#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {

ProjectRegistry::ProjectRegistry(ProvisioningStore& store, const Clock& clock)
    : store_(store), clock_(clock) {}

absl::StatusOr<Project> ProjectRegistry::Create(Project project) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateNewProject(project));
  project.create_time = clock_.Now();
  FIELDLOOP_RETURN_IF_ERROR(store_.InsertProject(project));
  return project;
}

absl::StatusOr<Project> ProjectRegistry::Get(absl::string_view id) { return store_.GetProject(id); }

absl::StatusOr<Page<Project>> ProjectRegistry::List(int page_size, absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<Project> rows, store_.ListProjects(after, size + 1));
  return CutPage(std::move(rows), size, [](const Project& project) { return project.id; });
}

}  // namespace fieldloop::provisioning
