// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/names.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

absl::StatusOr<std::int64_t> ParseNumber(absl::string_view field, absl::string_view name,
                                         absl::string_view digits) {
  std::int64_t number = 0;
  // One spelling for one number: no sign, no leading zero.
  if (!absl::SimpleAtoi(digits, &number) || number < 1 || digits != absl::StrCat(number)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got \"", name, "\", want a number of at least 1 at its end"));
  }
  return number;
}

absl::StatusOr<NumberedName> ParseNumbered(absl::string_view field, absl::string_view pattern,
                                           absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName(field, pattern, name));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t number, ParseNumber(field, name, parts[1]));
  return NumberedName{.project = parts[0], .number = number};
}

}  // namespace

std::string ProjectName(absl::string_view project) { return absl::StrCat("projects/", project); }

std::string ImpulseName(absl::string_view project, absl::string_view id, std::int64_t version) {
  return absl::StrCat("projects/", project, "/impulses/", id, "/versions/", version);
}

std::string BuildName(absl::string_view project, std::int64_t number) {
  return absl::StrCat("projects/", project, "/builds/", number);
}

std::string ModelName(absl::string_view project, std::int64_t number) {
  return absl::StrCat("projects/", project, "/models/", number);
}

std::string ArtifactName(absl::string_view project, std::int64_t number) {
  return absl::StrCat("projects/", project, "/artifacts/", number);
}

std::string ReleaseName(absl::string_view project, std::int64_t sequence) {
  return absl::StrCat("projects/", project, "/releases/", sequence);
}

absl::StatusOr<std::string> ParseProjectName(absl::string_view field, absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName(field, "projects/*", name));
  return parts[0];
}

absl::StatusOr<NumberedName> ParseBuildName(absl::string_view field, absl::string_view name) {
  return ParseNumbered(field, "projects/*/builds/*", name);
}

absl::StatusOr<NumberedName> ParseModelName(absl::string_view field, absl::string_view name) {
  return ParseNumbered(field, "projects/*/models/*", name);
}

absl::StatusOr<NumberedName> ParseArtifactName(absl::string_view field, absl::string_view name) {
  return ParseNumbered(field, "projects/*/artifacts/*", name);
}

absl::StatusOr<NumberedName> ParseReleaseName(absl::string_view field, absl::string_view name) {
  return ParseNumbered(field, "projects/*/releases/*", name);
}

absl::StatusOr<ImpulseNameParts> ParseImpulseName(absl::string_view field, absl::string_view name) {
  if (absl::StatusOr<std::vector<std::string>> newest =
          ParseResourceName(field, "projects/*/impulses/*", name);
      newest.ok()) {
    return ImpulseNameParts{.project = (*newest)[0], .id = (*newest)[1], .version = 0};
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName(field, "projects/*/impulses/*/versions/*", name));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t version, ParseNumber(field, name, parts[2]));
  return ImpulseNameParts{.project = parts[0], .id = parts[1], .version = version};
}

}  // namespace fieldloop::build
