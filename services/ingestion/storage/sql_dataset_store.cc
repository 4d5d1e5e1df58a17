// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/sql_dataset_store.h"

#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include <soci/soci.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/resource/resource_name.h"
#include "services/common/sql/select.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/storage/label_rows.h"
#include "services/ingestion/storage/sample_query.h"

namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

constexpr char kLabelTerm[] = "label";
constexpr char kDeviceTerm[] = "device";
constexpr char kMetadataTerm[] = "metadata";
constexpr char kFlagTerm[] = "flag";
constexpr char kWithoutFlagTerm[] = "without flag";

std::string VersionName(absl::string_view project, absl::string_view dataset_id,
                        std::int64_t number) {
  return absl::StrCat("projects/", project, "/datasets/", dataset_id, "/versions/", number);
}

void InsertTerms(soci::session& session, const Dataset& dataset) {
  std::string kind;
  std::string key;
  std::string value;
  int position = 0;
  soci::statement insert =
      (session.prepare << "INSERT INTO dataset_filter_terms"
                          " (project, dataset_id, kind, position, term_key, term_value)"
                          " VALUES (:project, :dataset, :kind, :position, :key, :value)",
       soci::use(dataset.project, "project"), soci::use(dataset.id, "dataset"),
       soci::use(kind, "kind"), soci::use(position, "position"), soci::use(key, "key"),
       soci::use(value, "value"));
  const auto insert_all = [&](const char* kind_of_all, const std::vector<std::string>& values) {
    kind = kind_of_all;
    for (const std::string& one : values) {
      value = one;
      insert.execute(true);
      ++position;
    }
  };
  insert_all(kLabelTerm, dataset.filter.labels);
  insert_all(kDeviceTerm, dataset.filter.devices);
  insert_all(kFlagTerm, dataset.filter.flags);
  insert_all(kWithoutFlagTerm, dataset.filter.without_flags);
  kind = kMetadataTerm;
  for (const auto& [meta_key, meta_value] : dataset.filter.metadata) {
    key = meta_key;
    value = meta_value;
    insert.execute(true);
    ++position;
  }
}

void ReadTerms(soci::session& session, Dataset& dataset) {
  std::string kind;
  std::string key;
  std::string value;
  soci::statement select =
      (session.prepare << "SELECT kind, term_key, term_value FROM dataset_filter_terms"
                          " WHERE project = :project AND dataset_id = :dataset ORDER BY position",
       soci::use(dataset.project, "project"), soci::use(dataset.id, "dataset"), soci::into(kind),
       soci::into(key), soci::into(value));
  select.execute();
  while (select.fetch()) {
    if (kind == kLabelTerm) {
      dataset.filter.labels.push_back(value);
    } else if (kind == kDeviceTerm) {
      dataset.filter.devices.push_back(value);
    } else if (kind == kFlagTerm) {
      dataset.filter.flags.push_back(value);
    } else if (kind == kWithoutFlagTerm) {
      dataset.filter.without_flags.push_back(value);
    } else if (kind == kMetadataTerm) {
      dataset.filter.metadata[key] = value;
    }
  }
}

// At most `limit` datasets with an id from `first` on.
std::vector<Dataset> SelectDatasets(soci::session& session, const std::string& project,
                                    const std::string& first, int limit) {
  std::vector<Dataset> datasets;
  std::string id;
  int label_state = 0;
  int split = 0;
  int source = 0;
  int has_created_after = 0;
  long long created_after_micros = 0;
  int has_created_before = 0;
  long long created_before_micros = 0;
  long long create_micros = 0;
  soci::statement select =
      (session.prepare << "SELECT dataset_id, label_state, split, source, has_created_after,"
                          " created_after_micros, has_created_before, created_before_micros,"
                          " create_micros FROM datasets"
                          " WHERE project = :project AND dataset_id >= :first"
                          " ORDER BY dataset_id LIMIT :limit",
       soci::use(project, "project"), soci::use(first, "first"), soci::use(limit, "limit"),
       soci::into(id), soci::into(label_state), soci::into(split), soci::into(source),
       soci::into(has_created_after), soci::into(created_after_micros),
       soci::into(has_created_before), soci::into(created_before_micros),
       soci::into(create_micros));
  select.execute();
  while (select.fetch()) {
    Dataset dataset{.project = project,
                    .id = id,
                    .filter = {},
                    .create_time = absl::FromUnixMicros(create_micros)};
    dataset.filter.label_state = static_cast<LabelState>(label_state);
    dataset.filter.split = static_cast<Split>(split);
    dataset.filter.source = static_cast<SampleSource>(source);
    if (has_created_after != 0) {
      dataset.filter.created_after = absl::FromUnixMicros(created_after_micros);
    }
    if (has_created_before != 0) {
      dataset.filter.created_before = absl::FromUnixMicros(created_before_micros);
    }
    datasets.push_back(std::move(dataset));
  }
  for (Dataset& dataset : datasets) {
    ReadTerms(session, dataset);
  }
  return datasets;
}

absl::StatusOr<Dataset> FindDataset(soci::session& session, absl::string_view project,
                                    absl::string_view id) {
  std::vector<Dataset> found = SelectDatasets(session, std::string(project), std::string(id), 1);
  if (found.empty() || found.front().id != id) {
    return absl::NotFoundError(absl::StrCat("no dataset projects/", project, "/datasets/", id));
  }
  return std::move(found.front());
}

// Every labelled sample that `filter` selects, by digest.
std::vector<VersionEntry> SelectEntries(soci::session& session, absl::string_view project,
                                        const SampleFilter& filter) {
  std::vector<VersionEntry> entries;
  SampleQuery query(project);
  query.Where(filter);
  query.And("s.labelled = 1");
  std::string id;
  std::string digest;
  int split = 0;
  long long label_number = 0;
  long long start = 0;
  long long end = 0;
  std::string label;
  soci::statement select(session);
  select.exchange(soci::into(id));
  select.exchange(soci::into(digest));
  select.exchange(soci::into(split));
  select.exchange(soci::into(label_number));
  select.exchange(soci::into(start));
  select.exchange(soci::into(end));
  select.exchange(soci::into(label));
  query.BindTo(select);
  Select(
      select,
      absl::StrCat(
          "SELECT s.sample_id, s.digest, s.split, s.label_number, q.start_reading, q.end_reading,"
          " q.label FROM samples s JOIN label_ranges q ON q.project = s.project"
          " AND q.sample_id = s.sample_id AND q.number = s.label_number WHERE ",
          query.condition(), " ORDER BY s.digest, q.start_reading"),
      [&] {
        if (entries.empty() || entries.back().sample_id != id) {
          entries.push_back({.sample_id = id,
                             .digest = digest,
                             .split = static_cast<Split>(split),
                             .label_number = label_number,
                             .ranges = {}});
        }
        entries.back().ranges.push_back({.start = start, .end = end, .label = label});
      });
  return entries;
}

// At most `limit` versions with a number below `below`, newest first.
std::vector<DatasetVersion> SelectVersions(soci::session& session, const std::string& project,
                                           const std::string& dataset_id, std::int64_t below,
                                           int limit) {
  std::vector<DatasetVersion> versions;
  const long long upper = below;
  long long number = 0;
  long long sample_count = 0;
  long long create_micros = 0;
  std::string digest;
  soci::statement select =
      (session.prepare << "SELECT number, digest, sample_count, create_micros FROM dataset_versions"
                          " WHERE project = :project AND dataset_id = :dataset AND number < :upper"
                          " ORDER BY number DESC LIMIT :limit",
       soci::use(project, "project"), soci::use(dataset_id, "dataset"), soci::use(upper, "upper"),
       soci::use(limit, "limit"), soci::into(number), soci::into(digest), soci::into(sample_count),
       soci::into(create_micros));
  select.execute();
  while (select.fetch()) {
    versions.push_back({.project = project,
                        .dataset_id = dataset_id,
                        .number = number,
                        .digest = digest,
                        .sample_count = sample_count,
                        .training_readings = {},
                        .testing_readings = {},
                        .create_time = absl::FromUnixMicros(create_micros)});
  }
  for (DatasetVersion& version : versions) {
    const long long wanted = version.number;
    int split = 0;
    std::string label;
    long long readings = 0;
    soci::statement counts =
        (session.prepare
             << "SELECT split, label, readings FROM dataset_version_readings"
                " WHERE project = :project AND dataset_id = :dataset AND number = :number",
         soci::use(project, "project"), soci::use(dataset_id, "dataset"),
         soci::use(wanted, "number"), soci::into(split), soci::into(label), soci::into(readings));
    counts.execute();
    while (counts.fetch()) {
      auto& side = static_cast<Split>(split) == Split::kTesting ? version.testing_readings
                                                                : version.training_readings;
      side[label] = readings;
    }
  }
  return versions;
}

void InsertReadings(soci::session& session, const DatasetVersion& version, Split side,
                    const std::map<std::string, std::int64_t>& readings_by_label) {
  const long long number = version.number;
  const int split = static_cast<int>(side);
  for (const auto& [label, count] : readings_by_label) {
    const long long readings = count;
    session << "INSERT INTO dataset_version_readings"
               " (project, dataset_id, number, split, label, readings)"
               " VALUES (:project, :dataset, :number, :split, :label, :readings)",
        soci::use(version.project, "project"), soci::use(version.dataset_id, "dataset"),
        soci::use(number, "number"), soci::use(split, "split"), soci::use(label, "label"),
        soci::use(readings, "readings");
  }
}

void InsertVersion(soci::session& session, const DatasetVersion& version,
                   const std::vector<VersionEntry>& entries) {
  const long long number = version.number;
  const long long sample_count = version.sample_count;
  const long long create_micros = absl::ToUnixMicros(version.create_time);
  session << "INSERT INTO dataset_versions"
             " (project, dataset_id, number, digest, sample_count, create_micros)"
             " VALUES (:project, :dataset, :number, :digest, :count, :created)",
      soci::use(version.project, "project"), soci::use(version.dataset_id, "dataset"),
      soci::use(number, "number"), soci::use(version.digest, "digest"),
      soci::use(sample_count, "count"), soci::use(create_micros, "created");
  InsertReadings(session, version, Split::kTraining, version.training_readings);
  InsertReadings(session, version, Split::kTesting, version.testing_readings);
  std::string digest;
  std::string sample_id;
  int split = 0;
  long long label_number = 0;
  soci::statement insert =
      (session.prepare
           << "INSERT INTO dataset_version_samples"
              " (project, dataset_id, number, digest, sample_id, split, label_number)"
              " VALUES (:project, :dataset, :number, :digest, :sample, :split, :label_number)",
       soci::use(version.project, "project"), soci::use(version.dataset_id, "dataset"),
       soci::use(number, "number"), soci::use(digest, "digest"), soci::use(sample_id, "sample"),
       soci::use(split, "split"), soci::use(label_number, "label_number"));
  for (const VersionEntry& entry : entries) {
    digest = entry.digest;
    sample_id = entry.sample_id;
    split = static_cast<int>(entry.split);
    label_number = entry.label_number;
    insert.execute(true);
  }
}

// One row that only one of two versions has, or that they have with another side or label number.
struct ChangeRow {
  std::string digest;
  std::string sample_id;
  int first_split = 0;
  long long first_label = 0;
  int second_split = 0;
  long long second_label = 0;
};

// At most `limit` such rows with a digest above `after`, by digest.
std::vector<ChangeRow> SelectChanges(soci::session& session, const std::string& project,
                                     const VersionKey& first, const VersionKey& second,
                                     const std::string& after, int limit) {
  const long long first_number = first.number;
  const long long second_number = second.number;
  std::vector<ChangeRow> rows;
  ChangeRow row;
  soci::statement select =
      (session.prepare
           << "SELECT digest, sample_id, first_split, first_label, second_split, second_label FROM "
              "("
              "SELECT a.digest AS digest, a.sample_id AS sample_id, a.split AS first_split,"
              " a.label_number AS first_label, COALESCE(b.split, 0) AS second_split,"
              " COALESCE(b.label_number, 0) AS second_label"
              " FROM dataset_version_samples a LEFT JOIN dataset_version_samples b"
              " ON b.project = a.project AND b.dataset_id = :second AND b.number = :second_number"
              " AND b.digest = a.digest"
              " WHERE a.project = :project AND a.dataset_id = :first AND a.number = :first_number"
              " AND a.digest > :after AND (b.digest IS NULL OR b.split <> a.split"
              " OR b.label_number <> a.label_number)"
              " UNION ALL "
              "SELECT b.digest, b.sample_id, 0, 0, b.split, b.label_number"
              " FROM dataset_version_samples b LEFT JOIN dataset_version_samples a"
              " ON a.project = b.project AND a.dataset_id = :first AND a.number = :first_number"
              " AND a.digest = b.digest"
              " WHERE b.project = :project AND b.dataset_id = :second"
              " AND b.number = :second_number AND b.digest > :after AND a.digest IS NULL"
              ") changes ORDER BY digest LIMIT :limit",
       soci::use(project, "project"), soci::use(first.dataset_id, "first"),
       soci::use(first_number, "first_number"), soci::use(second.dataset_id, "second"),
       soci::use(second_number, "second_number"), soci::use(after, "after"),
       soci::use(limit, "limit"), soci::into(row.digest), soci::into(row.sample_id),
       soci::into(row.first_split), soci::into(row.first_label), soci::into(row.second_split),
       soci::into(row.second_label));
  select.execute();
  while (select.fetch()) {
    rows.push_back(row);
  }
  return rows;
}

absl::Status CheckVersion(soci::session& session, const std::string& project,
                          const VersionKey& version) {
  const long long number = version.number;
  int found = 0;
  session << "SELECT COUNT(*) FROM dataset_versions"
             " WHERE project = :project AND dataset_id = :dataset AND number = :number",
      soci::use(project, "project"), soci::use(version.dataset_id, "dataset"),
      soci::use(number, "number"), soci::into(found);
  if (found == 0) {
    return absl::NotFoundError(absl::StrCat(
        "no dataset version ", VersionName(project, version.dataset_id, version.number)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SqlDatasetStore::Insert(const Dataset& dataset) {
  const absl::Status status = database_.Write([&](soci::session& session) -> absl::Status {
    const int label_state = static_cast<int>(dataset.filter.label_state);
    const int split = static_cast<int>(dataset.filter.split);
    const int source = static_cast<int>(dataset.filter.source);
    const int has_created_after = dataset.filter.created_after.has_value() ? 1 : 0;
    const long long created_after_micros =
        absl::ToUnixMicros(dataset.filter.created_after.value_or(absl::UnixEpoch()));
    const int has_created_before = dataset.filter.created_before.has_value() ? 1 : 0;
    const long long created_before_micros =
        absl::ToUnixMicros(dataset.filter.created_before.value_or(absl::UnixEpoch()));
    const long long create_micros = absl::ToUnixMicros(dataset.create_time);
    session << "INSERT INTO datasets (project, dataset_id, label_state, split, source,"
               " has_created_after, created_after_micros, has_created_before,"
               " created_before_micros, create_micros)"
               " VALUES (:project, :dataset, :label_state, :split, :source,"
               " :has_created_after, :created_after, :has_created_before, :created_before,"
               " :created)",
        soci::use(dataset.project, "project"), soci::use(dataset.id, "dataset"),
        soci::use(label_state, "label_state"), soci::use(split, "split"),
        soci::use(source, "source"), soci::use(has_created_after, "has_created_after"),
        soci::use(created_after_micros, "created_after"),
        soci::use(has_created_before, "has_created_before"),
        soci::use(created_before_micros, "created_before"), soci::use(create_micros, "created");
    InsertTerms(session, dataset);
    return absl::OkStatus();
  });
  if (absl::IsAlreadyExists(status)) {
    return absl::AlreadyExistsError(
        absl::StrCat("projects/", dataset.project, "/datasets/", dataset.id, " exists"));
  }
  return status;
}

absl::StatusOr<Dataset> SqlDatasetStore::Get(absl::string_view project, absl::string_view id) {
  Dataset dataset;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(dataset, FindDataset(session, project, id));
    return absl::OkStatus();
  }));
  return dataset;
}

absl::StatusOr<DatasetPage> SqlDatasetStore::List(absl::string_view project, int page_size,
                                                  absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string first, DecodePageToken(page_token));
  DatasetPage page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    page = {};
    // The token is the id that the next page starts with, so one row more than asked tells it.
    page.datasets = SelectDatasets(session, std::string(project), first, page_size + 1);
    if (page.datasets.size() > static_cast<std::size_t>(page_size)) {
      page.next_page_token = EncodePageToken(page.datasets.back().id);
      page.datasets.pop_back();
    }
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<DatasetVersion> SqlDatasetStore::CreateVersion(absl::string_view project,
                                                              absl::string_view dataset_id,
                                                              absl::Time create_time) {
  DatasetVersion version;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Dataset dataset, FindDataset(session, project, dataset_id));
    const std::vector<VersionEntry> entries = SelectEntries(session, project, dataset.filter);
    if (entries.empty()) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kDatasetEmpty,
                             absl::StrCat("projects/", project, "/datasets/", dataset_id,
                                          ": its filter selects no labelled sample"));
    }
    version = SummarizeVersion(entries);
    version.project = dataset.project;
    version.dataset_id = dataset.id;
    version.number = 1;
    version.create_time = absl::FromUnixMicros(absl::ToUnixMicros(create_time));
    std::vector<DatasetVersion> newest = SelectVersions(
        session, dataset.project, dataset.id, std::numeric_limits<std::int64_t>::max(), 1);
    if (!newest.empty()) {
      if (newest.front().digest == version.digest) {
        version = std::move(newest.front());
        return absl::OkStatus();
      }
      version.number = newest.front().number + 1;
    }
    InsertVersion(session, version, entries);
    return absl::OkStatus();
  }));
  return version;
}

absl::StatusOr<DatasetVersion> SqlDatasetStore::GetVersion(absl::string_view project,
                                                           absl::string_view dataset_id,
                                                           std::int64_t number) {
  DatasetVersion version;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    std::vector<DatasetVersion> found;
    if (number > 0 && number < std::numeric_limits<std::int64_t>::max()) {
      found = SelectVersions(session, std::string(project), std::string(dataset_id), number + 1, 1);
    }
    if (found.empty() || found.front().number != number) {
      return absl::NotFoundError(
          absl::StrCat("no dataset version ", VersionName(project, dataset_id, number)));
    }
    version = std::move(found.front());
    return absl::OkStatus();
  }));
  return version;
}

absl::StatusOr<DatasetVersionPage> SqlDatasetStore::ListVersions(absl::string_view project,
                                                                 absl::string_view dataset_id,
                                                                 int page_size,
                                                                 absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(page_token));
  std::int64_t below = std::numeric_limits<std::int64_t>::max();
  if (!key.empty() && !absl::SimpleAtoi(key, &below)) {
    return absl::InvalidArgumentError(
        "page_token: want next_page_token of the page before, or nothing");
  }
  DatasetVersionPage page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    page = {};
    const absl::StatusOr<Dataset> dataset = FindDataset(session, project, dataset_id);
    if (!dataset.ok()) {
      return dataset.status();
    }
    page.versions = SelectVersions(session, std::string(project), std::string(dataset_id), below,
                                   page_size + 1);
    if (page.versions.size() > static_cast<std::size_t>(page_size)) {
      page.versions.pop_back();
      page.next_page_token = EncodePageToken(absl::StrCat(page.versions.back().number));
    }
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<std::vector<Sample>> SqlDatasetStore::VersionSamples(absl::string_view project,
                                                                    absl::string_view dataset_id,
                                                                    std::int64_t number,
                                                                    absl::string_view after_digest,
                                                                    int limit) {
  std::vector<Sample> samples;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    samples.clear();
    const std::string in_project(project);
    const std::string of_dataset(dataset_id);
    const std::string after(after_digest);
    const long long of_number = number;
    SampleRow row;
    int frozen_split = 0;
    long long frozen_label = 0;
    std::vector<std::int64_t> label_numbers;
    soci::statement select(session);
    row.BindTo(select);
    select.exchange(soci::into(frozen_split));
    select.exchange(soci::into(frozen_label));
    select.exchange(soci::use(in_project, "project"));
    select.exchange(soci::use(of_dataset, "dataset"));
    select.exchange(soci::use(of_number, "number"));
    select.exchange(soci::use(after, "after"));
    select.exchange(soci::use(limit, "limit"));
    Select(select,
           absl::StrCat(
               "SELECT ", kSampleColumns,
               ", v.split, v.label_number FROM dataset_version_samples v"
               " JOIN samples s ON s.project = v.project AND s.sample_id = v.sample_id"
               " WHERE v.project = :project AND v.dataset_id = :dataset AND v.number = :number"
               " AND v.digest > :after ORDER BY v.digest LIMIT :limit"),
           [&] {
             samples.push_back(row.ToSample());
             samples.back().split = static_cast<Split>(frozen_split);
             label_numbers.push_back(frozen_label);
           });
    for (std::size_t i = 0; i < samples.size(); ++i) {
      ReadDetails(session, label_numbers[i], samples[i]);
    }
    return absl::OkStatus();
  }));
  return samples;
}

absl::StatusOr<VersionChangePage> SqlDatasetStore::ListChanges(absl::string_view project,
                                                               const VersionKey& first,
                                                               const VersionKey& second,
                                                               int page_size,
                                                               absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(page_token));
  const std::string in_project(project);
  const auto wanted = static_cast<std::size_t>(page_size);
  VersionChangePage page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    page = {};
    for (const VersionKey& version : {first, second}) {
      if (const absl::Status found = CheckVersion(session, in_project, version); !found.ok()) {
        return found;
      }
    }
    std::string after = key;
    for (;;) {
      const std::vector<ChangeRow> rows =
          SelectChanges(session, in_project, first, second, after, page_size + 1);
      for (const ChangeRow& row : rows) {
        if (page.changes.size() == wanted) {
          page.next_page_token = EncodePageToken(page.changes.back().digest);
          return absl::OkStatus();
        }
        VersionChange change{
            .sample_id = row.sample_id,
            .digest = row.digest,
            .first_split = static_cast<Split>(row.first_split),
            .second_split = static_cast<Split>(row.second_split),
            .first_labels = SelectRanges(session, in_project, row.sample_id, row.first_label),
            .second_labels = SelectRanges(session, in_project, row.sample_id, row.second_label)};
        after = row.digest;
        if (KindOf(change) == ChangeKind::kNone) {
          continue;  // Another label that says the same.
        }
        Sample sample;
        sample.project = in_project;
        sample.id = row.sample_id;
        ReadDetails(session, 0, sample);
        page.changes.push_back(std::move(change));
        page.metadata.push_back(std::move(sample.metadata));
      }
      if (rows.size() <= wanted) {
        return absl::OkStatus();
      }
    }
  }));
  return page;
}

absl::StatusOr<VersionKeyPage> SqlDatasetStore::VersionsOfSample(absl::string_view project,
                                                                 absl::string_view sample_id,
                                                                 int page_size,
                                                                 absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(page_token));
  std::string last_dataset;
  std::int64_t last_number = 0;
  if (!key.empty()) {
    const std::size_t slash = key.rfind('/');
    if (slash == std::string::npos || !absl::SimpleAtoi(key.substr(slash + 1), &last_number)) {
      return absl::InvalidArgumentError(
          "page_token: want next_page_token of the page before, or nothing");
    }
    last_dataset = key.substr(0, slash);
  }
  VersionKeyPage page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    page = {};
    const std::string in_project(project);
    const std::string of_sample(sample_id);
    int found = 0;
    session << "SELECT COUNT(*) FROM samples WHERE project = :project AND sample_id = :sample",
        soci::use(in_project, "project"), soci::use(of_sample, "sample"), soci::into(found);
    if (found == 0) {
      return NoSample(project, sample_id);
    }
    const long long after_number = last_number;
    const long long limit = static_cast<long long>(page_size) + 1;
    std::string dataset;
    long long number = 0;
    soci::statement select =
        (session.prepare << "SELECT dataset_id, number FROM dataset_version_samples"
                            " WHERE project = :project AND sample_id = :sample"
                            " AND (dataset_id > :dataset"
                            " OR (dataset_id = :dataset AND number > :number))"
                            " ORDER BY dataset_id, number LIMIT :limit",
         soci::use(in_project, "project"), soci::use(of_sample, "sample"),
         soci::use(last_dataset, "dataset"), soci::use(after_number, "number"),
         soci::use(limit, "limit"), soci::into(dataset), soci::into(number));
    select.execute();
    while (select.fetch()) {
      page.versions.push_back({.dataset_id = dataset, .number = number});
    }
    if (page.versions.size() > static_cast<std::size_t>(page_size)) {
      page.versions.pop_back();
      const VersionKey& end = page.versions.back();
      page.next_page_token = EncodePageToken(absl::StrCat(end.dataset_id, "/", end.number));
    }
    return absl::OkStatus();
  }));
  return page;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
