// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_NAMES_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::build {

// Resource names of this service. The domain works with a project's id and with numbers.
std::string ProjectName(absl::string_view project);
std::string ImpulseName(absl::string_view project, absl::string_view id, std::int64_t version);
std::string BuildName(absl::string_view project, std::int64_t number);
std::string ModelName(absl::string_view project, std::int64_t number);
std::string ArtifactName(absl::string_view project, std::int64_t number);
std::string ReleaseName(absl::string_view project, std::int64_t sequence);

// The other way. INVALID_ARGUMENT naming `field`.
absl::StatusOr<std::string> ParseProjectName(absl::string_view field, absl::string_view name);

struct NumberedName {
  std::string project;
  std::int64_t number = 0;
};
absl::StatusOr<NumberedName> ParseBuildName(absl::string_view field, absl::string_view name);
absl::StatusOr<NumberedName> ParseModelName(absl::string_view field, absl::string_view name);
absl::StatusOr<NumberedName> ParseArtifactName(absl::string_view field, absl::string_view name);
absl::StatusOr<NumberedName> ParseReleaseName(absl::string_view field, absl::string_view name);

struct ImpulseNameParts {
  std::string project;
  std::string id;
  std::int64_t version = 0;  // 0: the newest.
};
absl::StatusOr<ImpulseNameParts> ParseImpulseName(absl::string_view field, absl::string_view name);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_NAMES_H_
