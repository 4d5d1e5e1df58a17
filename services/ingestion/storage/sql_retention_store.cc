// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/sql_retention_store.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/storage/label_rows.h"

namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

// What a sample has beside its row.
constexpr const char* kTablesOfSamples[] = {"sample_metadata",  "labels",
                                            "label_ranges",     "suggestions",
                                            "labelling_leases", "device_uplinks"};

struct StoredRow {
  std::string digest;
  std::string canonical_digest;
  std::int64_t size_bytes = 0;
  std::int64_t label_number = 0;
  bool held = false;
};

std::optional<StoredRow> FindRow(soci::session& session, const std::string& project,
                                 const std::string& id) {
  StoredRow row;
  long long size_bytes = 0;
  long long label_number = 0;
  int held = 0;
  session << "SELECT digest, canonical_digest, size_bytes, label_number,"
             " CASE WHEN EXISTS (SELECT 1 FROM dataset_version_samples v WHERE v.project = :project"
             " AND v.sample_id = :sample) THEN 1 ELSE 0 END"
             " FROM samples WHERE project = :project AND sample_id = :sample",
      soci::use(project, "project"), soci::use(id, "sample"), soci::into(row.digest),
      soci::into(row.canonical_digest), soci::into(size_bytes), soci::into(label_number),
      soci::into(held);
  if (!session.got_data()) {
    return std::nullopt;
  }
  row.size_bytes = size_bytes;
  row.label_number = label_number;
  row.held = held != 0;
  return row;
}

bool IsUsed(soci::session& session, const std::string& digest) {
  int used = 0;
  session << "SELECT CASE WHEN EXISTS (SELECT 1 FROM samples WHERE digest = :digest)"
             " OR EXISTS (SELECT 1 FROM samples"
             " WHERE canonical_digest <> '' AND canonical_digest = :digest)"
             " THEN 1 ELSE 0 END",
      soci::use(digest, "digest"), soci::into(used);
  return used != 0;
}

// Notes a blob if no sample of any project refers to it.
void NoteIfUnused(soci::session& session, const std::string& digest, long long now_micros) {
  if (IsUsed(session, digest)) {
    return;
  }
  session << "INSERT INTO blob_garbage (digest, since_micros, claim_micros, deleted)"
             " VALUES (:digest, :since, 0, 0) ON CONFLICT (digest) DO NOTHING",
      soci::use(digest, "digest"), soci::use(now_micros, "since");
}

void DeleteRows(soci::session& session, const std::string& project, const std::string& id,
                const StoredRow& row, long long now_micros) {
  for (const char* table : kTablesOfSamples) {
    session << absl::StrCat("DELETE FROM ", table,
                            " WHERE project = :project AND sample_id = :sample"),
        soci::use(project, "project"), soci::use(id, "sample");
  }
  session << "DELETE FROM samples WHERE project = :project AND sample_id = :sample",
      soci::use(project, "project"), soci::use(id, "sample");
  NoteIfUnused(session, row.digest, now_micros);
  if (!row.canonical_digest.empty() && row.canonical_digest != row.digest) {
    NoteIfUnused(session, row.canonical_digest, now_micros);
  }
}

// Visits the labelled or the unlabelled samples that were created from `from_micros` on and before
// `before_micros`, oldest first, until `visit` returns false. Samples that a labeller has are left
// out.
void VisitOldest(soci::session& session, const std::string& project, bool labelled_ones,
                 long long from_micros, long long before_micros, long long now_micros,
                 const std::function<bool(const DueSample&, bool held)>& visit) {
  const int labelled = labelled_ones ? 1 : 0;
  DueSample sample;
  long long size_bytes = 0;
  long long label_number = 0;
  int held = 0;
  soci::statement select =
      (session.prepare
           << "SELECT s.sample_id, s.size_bytes, s.label_number,"
              " CASE WHEN EXISTS (SELECT 1 FROM dataset_version_samples v"
              " WHERE v.project = s.project AND v.sample_id = s.sample_id) THEN 1 ELSE 0 END"
              " FROM samples s WHERE s.project = :project AND s.labelled = :labelled"
              " AND s.create_micros >= :from AND s.create_micros < :before"
              " AND s.sample_id NOT IN (SELECT h.sample_id FROM labelling_leases h"
              " WHERE h.project = :project AND h.expire_micros > :now)"
              " ORDER BY s.create_micros, s.sample_id",
       soci::use(project, "project"), soci::use(labelled, "labelled"),
       soci::use(from_micros, "from"), soci::use(before_micros, "before"),
       soci::use(now_micros, "now"), soci::into(sample.id), soci::into(size_bytes),
       soci::into(label_number), soci::into(held));
  select.execute();
  while (select.fetch()) {
    sample.size_bytes = size_bytes;
    sample.label_number = label_number;
    if (!visit(sample, held != 0)) {
      return;
    }
  }
}

}  // namespace

absl::Status SqlRetentionStore::DeleteSample(absl::string_view project, absl::string_view id,
                                             absl::Time now) {
  const std::string in_project(project);
  const std::string sample_id(id);
  return database_.Write([&](soci::session& session) -> absl::Status {
    const std::optional<StoredRow> row = FindRow(session, in_project, sample_id);
    if (!row.has_value()) {
      return NoSample(project, id);
    }
    if (row->held) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kSampleHeld,
                             absl::StrCat("a dataset version holds projects/", project, "/samples/",
                                          id, ": it stays as long as the version"));
    }
    DeleteRows(session, in_project, sample_id, *row, absl::ToUnixMicros(now));
    return absl::OkStatus();
  });
}

absl::StatusOr<RetentionPlan> SqlRetentionStore::Plan(absl::string_view project,
                                                      const Retention& retention, absl::Time now) {
  const std::string in_project(project);
  const long long now_micros = absl::ToUnixMicros(now);
  RetentionPlan plan;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    plan = {};
    std::int64_t due_bytes = 0;
    const auto add = [&](const DueSample& sample, bool held) {
      if (held) {
        ++plan.held;
      } else {
        plan.due.push_back(sample);
        due_bytes += sample.size_bytes;
      }
      return true;
    };
    constexpr long long kFirst = std::numeric_limits<long long>::min();
    constexpr long long kEnd = std::numeric_limits<long long>::max();
    std::map<bool, long long> kept_from = {{false, kFirst}, {true, kFirst}};
    for (auto& [labelled, from] : kept_from) {
      const std::optional<absl::Duration>& age =
          labelled ? retention.labelled : retention.unlabelled;
      if (age.has_value()) {
        from = absl::ToUnixMicros(now - *age);
        VisitOldest(session, in_project, labelled, kFirst, from, now_micros, add);
      }
    }
    if (retention.max_bytes <= 0) {
      return absl::OkStatus();
    }
    long long total = 0;
    session << "SELECT COALESCE(SUM(size_bytes), 0) FROM samples WHERE project = :project",
        soci::use(in_project, "project"), soci::into(total);
    for (const auto& [labelled, from] : kept_from) {
      VisitOldest(session, in_project, labelled, from, kEnd, now_micros,
                  [&](const DueSample& sample, bool held) {
                    return total - due_bytes > retention.max_bytes && add(sample, held);
                  });
    }
    return absl::OkStatus();
  }));
  return plan;
}

absl::StatusOr<DeletedSamples> SqlRetentionStore::Delete(absl::string_view project,
                                                         const std::vector<DueSample>& due,
                                                         absl::Time now) {
  const std::string in_project(project);
  DeletedSamples deleted;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    deleted = {};
    for (const DueSample& sample : due) {
      const std::optional<StoredRow> row = FindRow(session, in_project, sample.id);
      if (row.has_value() && !row->held && row->label_number == sample.label_number) {
        DeleteRows(session, in_project, sample.id, *row, absl::ToUnixMicros(now));
        ++deleted.samples;
        deleted.bytes += row->size_bytes;
      }
    }
    return absl::OkStatus();
  }));
  return deleted;
}

absl::StatusOr<std::vector<std::string>> SqlRetentionStore::ProjectsWithRetention() {
  std::vector<std::string> projects;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    projects.clear();
    std::string project;
    soci::statement select =
        (session.prepare << "SELECT project FROM settings WHERE retain_unlabelled_micros > 0"
                            " OR retain_labelled_micros > 0 OR retain_bytes > 0 ORDER BY project",
         soci::into(project));
    select.execute();
    while (select.fetch()) {
      projects.push_back(project);
    }
    return absl::OkStatus();
  }));
  return projects;
}

absl::Status SqlRetentionStore::NoteUnused(const std::vector<std::string>& digests,
                                           absl::Time now) {
  if (digests.empty()) {
    return absl::OkStatus();
  }
  return database_.Write([&](soci::session& session) -> absl::Status {
    for (const std::string& digest : digests) {
      NoteIfUnused(session, digest, absl::ToUnixMicros(now));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<std::string>> SqlRetentionStore::ClaimBlobs(absl::Duration grace,
                                                                       int limit, absl::Time now) {
  const long long now_micros = absl::ToUnixMicros(now);
  const long long waited_since = absl::ToUnixMicros(now - grace);
  const long long settled_since = absl::ToUnixMicros(now - kBlobNoteStays);
  std::vector<std::string> claimed;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    claimed.clear();
    session << "DELETE FROM blob_garbage WHERE deleted = 1 AND claim_micros <= :settled",
        soci::use(settled_since, "settled");
    std::vector<std::string> digests;
    std::string digest;
    {
      soci::statement select =
          (session.prepare << "SELECT digest FROM blob_garbage WHERE deleted = 0"
                              " AND since_micros <= :since AND claim_micros <= :settled"
                              " ORDER BY since_micros, digest LIMIT :limit",
           soci::use(waited_since, "since"), soci::use(settled_since, "settled"),
           soci::use(limit, "limit"), soci::into(digest));
      select.execute();
      while (select.fetch()) {
        digests.push_back(digest);
      }
    }
    for (const std::string& found : digests) {
      if (IsUsed(session, found)) {
        session << "DELETE FROM blob_garbage WHERE digest = :digest", soci::use(found, "digest");
        continue;
      }
      session << "UPDATE blob_garbage SET claim_micros = :now WHERE digest = :digest",
          soci::use(now_micros, "now"), soci::use(found, "digest");
      claimed.push_back(found);
    }
    return absl::OkStatus();
  }));
  return claimed;
}

absl::Status SqlRetentionStore::BlobDeleted(absl::string_view digest) {
  const std::string deleted(digest);
  return database_.Write([&](soci::session& session) -> absl::Status {
    session << "UPDATE blob_garbage SET deleted = 1 WHERE digest = :digest",
        soci::use(deleted, "digest");
    return absl::OkStatus();
  });
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
