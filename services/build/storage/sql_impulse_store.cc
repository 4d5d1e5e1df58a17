// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_impulse_store.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/build/storage/sql_rows.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kSelect[] =
    "SELECT project, id, version, recipe, digest, create_micros FROM impulses ";

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct Row {
  std::string project;
  std::string id;
  long long version = 0;
  std::string recipe;
  std::string digest;
  long long create_micros = 0;

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(id), soci::into(version), soci::into(recipe),
        soci::into(digest), soci::into(create_micros);
  }

  absl::StatusOr<Impulse> ToImpulse() const {
    Impulse impulse{.project = project,
                    .id = id,
                    .version = version,
                    .recipe = {},
                    .digest = digest,
                    .create_time = absl::FromUnixMicros(create_micros)};
    FIELDLOOP_ASSIGN_OR_RETURN(impulse.recipe, ParseRecipeText(recipe));
    return impulse;
  }
};

std::optional<Row> Newest(soci::session& session, const std::string& project,
                          const std::string& id) {
  std::optional<Row> newest;
  SelectRows<Row>(
      session,
      absl::StrCat(kSelect, "WHERE project = :project AND id = :id ORDER BY version DESC LIMIT 1"),
      [&](const Row& row) { newest = row; }, project, id);
  return newest;
}

}  // namespace

SqlImpulseStore::SqlImpulseStore(Database& database) : database_(database) {}

absl::StatusOr<Impulse> SqlImpulseStore::Put(const Impulse& impulse) {
  Impulse stored;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    const std::optional<Row> newest = Newest(session, impulse.project, impulse.id);
    if (newest.has_value() && newest->digest == impulse.digest) {
      FIELDLOOP_ASSIGN_OR_RETURN(stored, newest->ToImpulse());
      return absl::OkStatus();
    }
    stored = impulse;
    stored.version = newest.has_value() ? newest->version + 1 : 1;
    const long long version = stored.version;
    const std::string recipe = RecipeText(impulse.recipe);
    const long long micros = absl::ToUnixMicros(impulse.create_time);
    session << "INSERT INTO impulses (project, id, version, recipe, digest, create_micros) "
               "VALUES (:project, :id, :version, :recipe, :digest, :micros)",
        soci::use(impulse.project), soci::use(impulse.id), soci::use(version), soci::use(recipe),
        soci::use(impulse.digest), soci::use(micros);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::StatusOr<Impulse> SqlImpulseStore::Get(absl::string_view project, absl::string_view id,
                                             std::int64_t version) {
  const std::string wanted_project(project);
  const std::string wanted_id(id);
  const long long wanted_version = version;
  std::optional<Row> found;
  const absl::Status done = database_.Read([&](soci::session& session) {
    found.reset();
    if (version == 0) {
      found = Newest(session, wanted_project, wanted_id);
    } else {
      SelectRows<Row>(
          session,
          absl::StrCat(kSelect, "WHERE project = :project AND id = :id AND version = :version"),
          [&](const Row& row) { found = row; }, wanted_project, wanted_id, wanted_version);
    }
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  if (!found.has_value()) {
    return absl::NotFoundError(
        version == 0 ? absl::StrCat("no impulse projects/", project, "/impulses/", id)
                     : absl::StrCat("no impulse ", ImpulseName(project, id, version)));
  }
  return found->ToImpulse();
}

absl::StatusOr<std::vector<Impulse>> SqlImpulseStore::List(absl::string_view project,
                                                           absl::string_view after_id, int limit) {
  const std::string wanted(project);
  const std::string after(after_id);
  std::vector<Row> rows;
  const absl::Status done = database_.Read([&](soci::session& session) {
    rows.clear();
    SelectRows<Row>(
        session,
        absl::StrCat(kSelect,
                     "WHERE project = :project AND id > :after AND version = "
                     "(SELECT MAX(version) FROM impulses AS newer WHERE newer.project = "
                     "impulses.project AND newer.id = impulses.id) ORDER BY id LIMIT :limit"),
        [&](const Row& row) { rows.push_back(row); }, wanted, after, limit);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  std::vector<Impulse> impulses;
  for (const Row& row : rows) {
    FIELDLOOP_ASSIGN_OR_RETURN(Impulse impulse, row.ToImpulse());
    impulses.push_back(std::move(impulse));
  }
  return impulses;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
