// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_release_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/build/storage/row_text.h"
#include "services/build/storage/sql_rows.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct Row {
  std::string project;
  long long sequence = 0;
  long long model = 0;
  long long firmware = 0;
  long long configuration = 0;
  std::string payload;
  std::string signatures;
  std::string request_id;
  long long create_micros = 0;

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(sequence), soci::into(model), soci::into(firmware),
        soci::into(configuration), soci::into(payload), soci::into(signatures),
        soci::into(request_id), soci::into(create_micros);
  }

  absl::StatusOr<Release> ToRelease() const {
    Release release;
    release.project = project;
    release.sequence = sequence;
    release.model = model;
    release.firmware = firmware;
    release.configuration = configuration;
    FIELDLOOP_ASSIGN_OR_RETURN(release.payload, BytesOfText(payload));
    FIELDLOOP_ASSIGN_OR_RETURN(release.signatures, SignaturesOfText(signatures));
    release.request_id = request_id;
    release.create_time = absl::FromUnixMicros(create_micros);
    return release;
  }
};

template <typename... Uses>
absl::StatusOr<std::vector<Release>> Select(soci::session& session, absl::string_view tail,
                                            const Uses&... uses) {
  std::vector<Row> rows;
  SelectRows<Row>(
      session,
      absl::StrCat("SELECT project, sequence, model, firmware, configuration, payload, "
                   "signatures, request_id, create_micros FROM releases WHERE project = :project ",
                   tail),
      [&](const Row& row) { rows.push_back(row); }, uses...);
  std::vector<Release> releases;
  for (const Row& row : rows) {
    FIELDLOOP_ASSIGN_OR_RETURN(Release release, row.ToRelease());
    releases.push_back(std::move(release));
  }
  return releases;
}

absl::StatusOr<Release> SelectOne(soci::session& session, const std::string& project,
                                  std::int64_t sequence) {
  const long long wanted = sequence;
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<Release> releases,
                             Select(session, "AND sequence = :sequence", project, wanted));
  if (releases.empty()) {
    return absl::NotFoundError(absl::StrCat("no release ", ReleaseName(project, sequence)));
  }
  return std::move(releases.front());
}

}  // namespace

SqlReleaseStore::SqlReleaseStore(Database& database) : database_(database) {}

absl::StatusOr<Release> SqlReleaseStore::Insert(
    absl::string_view project, absl::string_view request_id,
    absl::FunctionRef<absl::StatusOr<Release>(std::int64_t sequence)> make) {
  const std::string wanted_project(project);
  const std::string wanted_request(request_id);
  Release release;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    if (!wanted_request.empty()) {
      FIELDLOOP_ASSIGN_OR_RETURN(
          std::vector<Release> first,
          Select(session, "AND request_id = :request", wanted_project, wanted_request));
      if (!first.empty()) {
        release = std::move(first.front());
        return absl::OkStatus();
      }
    }
    long long sequence = 0;
    session << "SELECT MAX(given) + 1 FROM (SELECT value AS given FROM number_floor UNION ALL "
               "SELECT sequence FROM releases WHERE project = :project) AS numbers",
        soci::use(wanted_project), soci::into(sequence);
    FIELDLOOP_ASSIGN_OR_RETURN(release, make(sequence));
    const long long model = release.model;
    const long long firmware = release.firmware;
    const long long configuration = release.configuration;
    const std::string payload = TextOfBytes(release.payload);
    const std::string signatures = TextOfSignatures(release.signatures);
    const long long micros = absl::ToUnixMicros(release.create_time);
    session << "INSERT INTO releases "
               "(project, sequence, model, firmware, configuration, payload, signatures, "
               "request_id, create_micros) VALUES (:project, :sequence, :model, :firmware, "
               ":configuration, :payload, :signatures, :request, :micros)",
        soci::use(wanted_project), soci::use(sequence), soci::use(model), soci::use(firmware),
        soci::use(configuration), soci::use(payload), soci::use(signatures),
        soci::use(wanted_request), soci::use(micros);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return release;
}

absl::StatusOr<Release> SqlReleaseStore::Get(absl::string_view project, std::int64_t sequence) {
  Release release;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(release, SelectOne(session, std::string(project), sequence));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return release;
}

absl::StatusOr<std::vector<Release>> SqlReleaseStore::List(absl::string_view project,
                                                           std::int64_t before, int limit) {
  const std::string wanted(project);
  const long long below = before;
  std::vector<Release> releases;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(
        releases, Select(session, "AND sequence < :before ORDER BY sequence DESC LIMIT :limit",
                         wanted, below, limit));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return releases;
}

absl::StatusOr<Release> SqlReleaseStore::UpdateSignatures(
    absl::string_view project, std::int64_t sequence,
    absl::FunctionRef<absl::Status(std::vector<Signature>&)> change) {
  const std::string wanted(project);
  const long long number = sequence;
  Release release;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(release, SelectOne(session, wanted, sequence));
    FIELDLOOP_RETURN_IF_ERROR(change(release.signatures));
    const std::string signatures = TextOfSignatures(release.signatures);
    session << "UPDATE releases SET signatures = :signatures "
               "WHERE project = :project AND sequence = :sequence",
        soci::use(signatures), soci::use(wanted), soci::use(number);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return release;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
