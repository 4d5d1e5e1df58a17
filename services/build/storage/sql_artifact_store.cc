// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_artifact_store.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/build/storage/sql_rows.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct Row {
  std::string project;
  long long number = 0;
  int kind = 0;
  std::string version;
  std::string digest;
  long long size_bytes = 0;
  std::string author;
  long long create_micros = 0;

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(number), soci::into(kind), soci::into(version),
        soci::into(digest), soci::into(size_bytes), soci::into(author), soci::into(create_micros);
  }

  Artifact ToArtifact() const {
    return {.project = project,
            .number = number,
            .kind = static_cast<ComponentKind>(kind),
            .version = version,
            .digest = digest,
            .size_bytes = size_bytes,
            .author = author,
            .create_time = absl::FromUnixMicros(create_micros)};
  }
};

template <typename... Uses>
std::vector<Artifact> Select(soci::session& session, absl::string_view tail, const Uses&... uses) {
  std::vector<Artifact> artifacts;
  SelectRows<Row>(
      session,
      absl::StrCat("SELECT project, number, kind, version, digest, size_bytes, author, "
                   "create_micros FROM artifacts WHERE project = :project ",
                   tail),
      [&](const Row& row) { artifacts.push_back(row.ToArtifact()); }, uses...);
  return artifacts;
}

}  // namespace

SqlArtifactStore::SqlArtifactStore(Database& database) : database_(database) {}

absl::StatusOr<Artifact> SqlArtifactStore::Insert(const Artifact& artifact) {
  Artifact stored;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    const int kind = static_cast<int>(artifact.kind);
    std::vector<Artifact> first = Select(session, "AND kind = :kind AND version = :version",
                                         artifact.project, kind, artifact.version);
    if (!first.empty()) {
      stored = std::move(first.front());
      return absl::OkStatus();
    }
    long long number = 0;
    session << "SELECT COALESCE(MAX(number), 0) + 1 FROM artifacts WHERE project = :project",
        soci::use(artifact.project), soci::into(number);
    const long long size_bytes = artifact.size_bytes;
    const long long micros = absl::ToUnixMicros(artifact.create_time);
    session << "INSERT INTO artifacts "
               "(project, number, kind, version, digest, size_bytes, author, create_micros) VALUES "
               "(:project, :number, :kind, :version, :digest, :size, :author, :micros)",
        soci::use(artifact.project), soci::use(number), soci::use(kind),
        soci::use(artifact.version), soci::use(artifact.digest), soci::use(size_bytes),
        soci::use(artifact.author), soci::use(micros);
    stored = artifact;
    stored.number = number;
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::StatusOr<Artifact> SqlArtifactStore::Get(absl::string_view project, std::int64_t number) {
  const std::string wanted(project);
  const long long key = number;
  Artifact artifact;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    std::vector<Artifact> found = Select(session, "AND number = :number", wanted, key);
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat("no artifact ", ArtifactName(project, number)));
    }
    artifact = std::move(found.front());
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return artifact;
}

absl::StatusOr<std::vector<Artifact>> SqlArtifactStore::List(absl::string_view project,
                                                             std::optional<ComponentKind> kind,
                                                             std::int64_t before, int limit) {
  const std::string wanted(project);
  const long long below = before;
  std::vector<Artifact> artifacts;
  const absl::Status done = database_.Read([&](soci::session& session) {
    const std::string page = "AND number < :before ORDER BY number DESC LIMIT :limit";
    if (kind.has_value()) {
      const int of = static_cast<int>(*kind);
      artifacts = Select(session, "AND kind = :kind " + page, wanted, of, below, limit);
    } else {
      artifacts = Select(session, page, wanted, below, limit);
    }
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return artifacts;
}

absl::StatusOr<bool> SqlArtifactStore::HasDigest(absl::string_view project,
                                                 absl::string_view digest) {
  const std::string wanted(project);
  const std::string of(digest);
  bool found = false;
  const absl::Status done = database_.Read([&](soci::session& session) {
    found = !Select(session, "AND digest = :digest LIMIT 1", wanted, of).empty();
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return found;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
