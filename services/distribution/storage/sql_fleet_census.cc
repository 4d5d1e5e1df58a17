// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/storage/sql_fleet_census.h"

#include <cstddef>
#include <map>
#include <utility>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {
namespace {

constexpr std::size_t kDigestDigits = 12;

// Names of models by project and digest, from the rollouts that brought them.
using Names = std::map<std::pair<std::string, std::string>, std::string>;

Names ReadNames(soci::session& session) {
  Names names;
  std::string project;
  std::string digest;
  std::string model;
  soci::statement statement =
      (session.prepare << "SELECT project, model_digest, MAX(model) FROM rollouts WHERE model <> ''"
                          " GROUP BY project, model_digest",
       soci::into(project), soci::into(digest), soci::into(model));
  statement.execute();
  while (statement.fetch()) {
    names[{project, digest}] = model;
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<ModelCount>> SqlFleetCensus::CountByModel() {
  std::vector<ModelCount> counts;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    counts.clear();
    const Names names = ReadNames(session);
    std::string project;
    std::string digest;
    long long devices = 0;  // NOLINT(google-runtime-int): what SOCI 4.0 binds.
    soci::statement statement =
        (session.prepare << "SELECT project, model_digest, COUNT(*) FROM device_states"
                            " GROUP BY project, model_digest",
         soci::into(project), soci::into(digest), soci::into(devices));
    statement.execute();
    while (statement.fetch()) {
      const auto name = names.find({project, digest});
      counts.push_back({.project = project,
                        .model = digest.empty() ? std::string(kNoModel)
                                 : name != names.end()
                                     ? name->second
                                     : absl::StrCat("sha256:", digest.substr(0, kDigestDigits)),
                        .devices = devices});
    }
    return absl::OkStatus();
  }));
  return counts;
}

}  // namespace fieldloop::distribution
