// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/sql_sample_store.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <soci/soci.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "services/common/resource/resource_name.h"
#include "services/common/sql/bulk_insert.h"
#include "services/common/sql/select.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/labelling.h"
#include "services/ingestion/domain/split_choice.h"
#include "services/ingestion/storage/label_rows.h"
#include "services/ingestion/storage/sample_query.h"

namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

// Bounds how long others wait for the lock of the database.
constexpr std::size_t kMaxInsertsTogether = 128;

// Whether a sample is there, in one short statement: what uploads ask most, and the answer is no.
bool IsThere(soci::session& session, const std::string& project, const std::string& id) {
  int found = 0;
  session << "SELECT 1 FROM samples WHERE project = :project AND sample_id = :id",
      soci::use(project, "project"), soci::use(id, "id"), soci::into(found);
  return session.got_data();
}

std::optional<SampleWithLabelNumber> FindSample(soci::session& session, absl::string_view project,
                                                absl::string_view id) {
  if (!IsThere(session, std::string(project), std::string(id))) {
    return std::nullopt;
  }
  SampleQuery query(project);
  const std::string placeholder = query.Text(id);
  query.And(absl::StrCat("s.sample_id = ", placeholder));
  std::vector<SampleWithLabelNumber> found = SelectSamples(session, query, "");
  if (found.empty()) {
    return std::nullopt;
  }
  ReadDetails(session, found.front().label_number, found.front().sample);
  return std::move(found.front());
}

std::optional<std::string> FindUplink(soci::session& session, const std::string& project,
                                      const Uplink& uplink) {
  // The database has no unsigned numbers: the same bits as a signed one.
  const auto sequence = static_cast<long long>(uplink.sequence);
  std::string id;
  session << "SELECT sample_id FROM device_uplinks"
             " WHERE project = :project AND device = :device AND sequence = :sequence",
      soci::use(project, "project"), soci::use(uplink.device, "device"),
      soci::use(sequence, "sequence"), soci::into(id);
  if (!session.got_data()) {
    return std::nullopt;
  }
  return id;
}

// Returns the side of a split key, and chooses and stores it if the key is new.
Split SplitOfKey(soci::session& session, const std::string& project, const SplitKey& key) {
  int split = 0;
  session << "SELECT split FROM split_keys"
             " WHERE project = :project AND key_name = :name AND key_value = :value",
      soci::use(project, "project"), soci::use(key.name, "name"), soci::use(key.value, "value"),
      soci::into(split);
  if (session.got_data()) {
    return static_cast<Split>(split);
  }
  long long all = 0;
  long long testing = 0;
  const int testing_split = static_cast<int>(Split::kTesting);
  session << "SELECT COUNT(*), COALESCE(SUM(CASE WHEN split = :testing THEN 1 ELSE 0 END), 0)"
             " FROM split_keys WHERE project = :project AND key_name = :name",
      soci::use(testing_split, "testing"), soci::use(project, "project"),
      soci::use(key.name, "name"), soci::into(all), soci::into(testing);
  const Split chosen = SplitOfNewKey(testing, all);
  split = static_cast<int>(chosen);
  session << "INSERT INTO split_keys (project, key_name, key_value, split)"
             " VALUES (:project, :name, :value, :split)",
      soci::use(project, "project"), soci::use(key.name, "name"), soci::use(key.value, "value"),
      soci::use(split, "split");
  return chosen;
}

// Rows of "samples" to insert, column by column.
struct SampleColumns {
  std::vector<std::string> project, id, file_name, digest, canonical_digest, axes, units,
      resampling, split_group, device, model_digest, reason, predicted_label, flags;
  std::vector<int> format, split, source, labelled;
  std::vector<long long> size_bytes, readings, start_micros, create_micros, label_number;
  std::vector<double> frequency_hz, probability, confidence, uncertainty, novelty;

  void Add(const Sample& sample) {
    const DeviceProvenance provenance = sample.device.value_or(DeviceProvenance{});
    const QueueScores scores = ScoresOf(sample.device);
    const bool has_label = !sample.labels.empty();
    project.push_back(sample.project);
    id.push_back(sample.id);
    file_name.push_back(sample.file_name);
    format.push_back(static_cast<int>(sample.format));
    digest.push_back(sample.digest);
    size_bytes.push_back(sample.size_bytes);
    canonical_digest.push_back(sample.canonical_digest);
    axes.push_back(absl::StrJoin(sample.axes, "\n"));
    units.push_back(absl::StrJoin(sample.units, "\n"));
    readings.push_back(sample.readings);
    frequency_hz.push_back(sample.frequency_hz);
    resampling.push_back(sample.resampling);
    split.push_back(static_cast<int>(sample.split));
    split_group.push_back(sample.split_group);
    source.push_back(static_cast<int>(sample.source));
    device.push_back(provenance.device);
    model_digest.push_back(provenance.model_digest);
    reason.push_back(provenance.reason);
    probability.push_back(provenance.probability);
    predicted_label.push_back(provenance.predicted_label);
    confidence.push_back(provenance.confidence);
    start_micros.push_back(absl::ToUnixMicros(provenance.start_time));
    flags.push_back(absl::StrJoin(sample.flags, "\n"));
    create_micros.push_back(absl::ToUnixMicros(sample.create_time));
    label_number.push_back(has_label ? 1 : 0);
    labelled.push_back(has_label ? 1 : 0);
    uncertainty.push_back(scores.uncertainty);
    novelty.push_back(scores.novelty);
  }

  void InsertInto(soci::session& session) const {
    BulkInsert("samples")
        .Column("project", project)
        .Column("sample_id", id)
        .Column("file_name", file_name)
        .Column("format", format)
        .Column("digest", digest)
        .Column("size_bytes", size_bytes)
        .Column("canonical_digest", canonical_digest)
        .Column("axes", axes)
        .Column("units", units)
        .Column("readings", readings)
        .Column("frequency_hz", frequency_hz)
        .Column("resampling", resampling)
        .Column("split", split)
        .Column("split_group", split_group)
        .Column("source", source)
        .Column("device", device)
        .Column("model_digest", model_digest)
        .Column("reason", reason)
        .Column("probability", probability)
        .Column("predicted_label", predicted_label)
        .Column("confidence", confidence)
        .Column("start_micros", start_micros)
        .Column("flags", flags)
        .Column("create_micros", create_micros)
        .Column("label_number", label_number)
        .Column("labelled", labelled)
        .Column("uncertainty", uncertainty)
        .Column("novelty", novelty)
        .Run(session);
  }
};

// Rows of "sample_metadata" to insert, column by column.
struct MetadataColumns {
  std::vector<std::string> project, id, key, value;

  void Add(const Sample& sample) {
    for (const auto& [name, text] : sample.metadata) {
      project.push_back(sample.project);
      id.push_back(sample.id);
      key.push_back(name);
      value.push_back(text);
    }
  }

  void InsertInto(soci::session& session) const {
    BulkInsert("sample_metadata")
        .Column("project", project)
        .Column("sample_id", id)
        .Column("meta_key", key)
        .Column("meta_value", value)
        .Run(session);
  }
};

// Rows of "device_uplinks" to insert, column by column.
struct UplinkColumns {
  std::vector<std::string> project, device, id;
  std::vector<long long> sequence;

  void Add(const std::string& of_project, const Uplink& uplink, const std::string& sample_id) {
    project.push_back(of_project);
    device.push_back(uplink.device);
    sequence.push_back(static_cast<long long>(uplink.sequence));
    id.push_back(sample_id);
  }

  void InsertInto(soci::session& session) const {
    BulkInsert("device_uplinks")
        .Column("project", project)
        .Column("device", device)
        .Column("sequence", sequence)
        .Column("sample_id", id)
        .Run(session);
  }
};

// "(:v0, :v1)": for as many values, which are bound in their order.
std::string Placeholders(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    names.push_back(absl::StrCat(":v", i));
  }
  return absl::StrCat("(", absl::StrJoin(names, ", "), ")");
}

// Many new samples in one transaction: what is asked and what is written goes together for all.
class SampleInserts {
 public:
  // `all` are those that Add will get.
  SampleInserts(soci::session& session, const std::vector<const NewSample*>& all)
      : session_(session) {
    std::map<std::string, std::set<std::string>> ids;
    std::set<std::string> digests;
    for (const NewSample* fresh : all) {
      ids[fresh->sample.project].insert(fresh->sample.id);
      digests.insert(fresh->sample.digest);
      digests.insert(fresh->sample.canonical_digest);
    }
    for (const auto& [project, of_project] : ids) {
      FindThere(project, {of_project.begin(), of_project.end()});
    }
    FindGarbage({digests.begin(), digests.end()});
  }
  SampleInserts(const SampleInserts&) = delete;
  SampleInserts& operator=(const SampleInserts&) = delete;

  // Takes a sample, its first label, its side and its uplink; returns what is there if one is
  // known. `stored` must stay where it is until Execute.
  absl::Status Add(const NewSample& fresh, StoredSample& stored) {
    const std::string& project = fresh.sample.project;
    std::optional<std::string> known_uplink;
    if (fresh.uplink.has_value()) {
      known_uplink = UplinkOf(project, *fresh.uplink, fresh.sample.id);
    }
    if (std::optional<Sample> known = known_uplink.has_value()
                                          ? FindAny(project, *known_uplink)
                                          : FindAsked(project, fresh.sample.id);
        known.has_value()) {
      stored = {.sample = *std::move(known), .existed = true};
      return absl::OkStatus();
    }
    FIELDLOOP_RETURN_IF_ERROR(KeepBlobs(fresh.sample));
    stored = {.sample = fresh.sample, .existed = false};
    if (stored.sample.split == Split::kUnspecified && fresh.split_key.has_value()) {
      stored.sample.split = SplitOfKey(session_, project, *fresh.split_key);
      stored.sample.split_group = absl::StrCat(fresh.split_key->name, "=", fresh.split_key->value);
    } else if (stored.sample.split == Split::kUnspecified) {
      stored.sample.split = SplitOfDigest(fresh.sample.digest);
    }
    samples_.Add(stored.sample);
    metadata_.Add(stored.sample);
    if (!fresh.sample.labels.empty()) {
      labels_.Add({.project = project,
                   .sample_id = fresh.sample.id,
                   .number = 1,
                   .ranges = fresh.sample.labels,
                   .author = fresh.label_author,
                   .source = fresh.label_source,
                   .create_time = fresh.sample.create_time});
    }
    added_[{project, fresh.sample.id}] = &stored.sample;
    return absl::OkStatus();
  }

  // Inserts what was taken.
  void Execute() {
    samples_.InsertInto(session_);
    metadata_.InsertInto(session_);
    labels_.InsertInto(session_);
    uplinks_.InsertInto(session_);
  }

 private:
  // Which of these samples are there: most are not.
  void FindThere(const std::string& project, const std::vector<std::string>& ids) {
    std::string id;
    soci::statement select(session_);
    select.exchange(soci::into(id));
    select.exchange(soci::use(project));
    for (const std::string& one : ids) {
      select.exchange(soci::use(one));
    }
    Select(select,
           absl::StrCat("SELECT sample_id FROM samples WHERE project = :project AND sample_id IN ",
                        Placeholders(ids.size())),
           [&] {
             there_.insert({project, id});
           });
  }

  void FindGarbage(const std::vector<std::string>& digests) {
    std::string digest;
    long long claim_micros = 0;
    soci::statement select(session_);
    select.exchange(soci::into(digest));
    select.exchange(soci::into(claim_micros));
    for (const std::string& one : digests) {
      select.exchange(soci::use(one));
    }
    Select(select,
           absl::StrCat("SELECT digest, claim_micros FROM blob_garbage WHERE digest IN ",
                        Placeholders(digests.size())),
           [&] { garbage_[digest] = claim_micros; });
  }

  // The sample that an uplink brought before; takes note of it if it is new.
  std::optional<std::string> UplinkOf(const std::string& project, const Uplink& uplink,
                                      const std::string& sample_id) {
    const auto [taken, is_new] =
        taken_uplinks_.try_emplace({project, uplink.device, uplink.sequence}, sample_id);
    if (!is_new) {
      return taken->second;
    }
    std::optional<std::string> known = FindUplink(session_, project, uplink);
    if (known.has_value()) {
      taken->second = *known;
    } else {
      uplinks_.Add(project, uplink, sample_id);
    }
    return known;
  }

  // Of those that FindThere asked for.
  std::optional<Sample> FindAsked(const std::string& project, const std::string& id) {
    const std::pair<std::string, std::string> key(project, id);
    return there_.contains(key) || added_.contains(key) ? FindAny(project, id) : std::nullopt;
  }

  std::optional<Sample> FindAny(const std::string& project, const std::string& id) {
    if (const auto added = added_.find({project, id}); added != added_.end()) {
      return *added->second;
    }
    std::optional<SampleWithLabelNumber> found = FindSample(session_, project, id);
    return found.has_value() ? std::optional<Sample>(std::move(found->sample)) : std::nullopt;
  }

  // Makes sure that a sample's blobs are there and stay: one that is noted as unused is used from
  // now on; one that is being deleted is not there any more. See RetentionStore.
  absl::Status KeepBlobs(const Sample& sample) {
    for (const std::string& digest : {sample.digest, sample.canonical_digest}) {
      const auto noted = garbage_.find(digest);
      if (noted == garbage_.end()) {
        continue;
      }
      if (noted->second > 0) {
        return absl::UnavailableError(
            "the same bytes were stored before and are being deleted; repeat in ten minutes");
      }
      session_ << "DELETE FROM blob_garbage WHERE digest = :digest", soci::use(digest, "digest");
      garbage_.erase(noted);
    }
    return absl::OkStatus();
  }

  soci::session& session_;
  std::set<std::pair<std::string, std::string>> there_;  // Project and sample.
  std::map<std::string, long long> garbage_;             // When it was claimed, or 0, by digest.
  std::map<std::tuple<std::string, std::string, std::uint64_t>, std::string> taken_uplinks_;
  std::map<std::pair<std::string, std::string>, const Sample*> added_;
  SampleColumns samples_;
  MetadataColumns metadata_;
  LabelColumns labels_;
  UplinkColumns uplinks_;
};

}  // namespace

SqlSampleStore::SqlSampleStore(Database& database)
    : database_(database),
      inserts_(kMaxInsertsTogether,
               [this](const std::vector<PendingInsert*>& inserts) { InsertAll(inserts); }) {}

absl::StatusOr<StoredSample> SqlSampleStore::Insert(const NewSample& fresh) {
  PendingInsert insert{.fresh = fresh, .stored = StoredSample{}};
  inserts_.Run(insert);
  return std::move(insert.stored);
}

void SqlSampleStore::InsertAll(const std::vector<PendingInsert*>& inserts) {
  const auto insert_in_one_transaction = [&](const std::vector<PendingInsert*>& some) {
    return database_.Write([&](soci::session& session) -> absl::Status {
      std::vector<const NewSample*> all;
      all.reserve(some.size());
      for (const PendingInsert* insert : some) {
        all.push_back(&insert->fresh);
      }
      SampleInserts samples(session, all);
      for (PendingInsert* insert : some) {
        FIELDLOOP_RETURN_IF_ERROR(
            samples.Add(insert->fresh, insert->stored.emplace(StoredSample{})));
      }
      samples.Execute();
      return absl::OkStatus();
    });
  };
  if (insert_in_one_transaction(inserts).ok()) {
    return;
  }
  // One of them may have failed alone, and took the transaction with it.
  for (PendingInsert* insert : inserts) {
    if (const absl::Status status = insert_in_one_transaction({insert}); !status.ok()) {
      insert->stored = status;
    }
  }
}

absl::StatusOr<Sample> SqlSampleStore::Get(absl::string_view project, absl::string_view id) {
  Sample sample;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    std::optional<SampleWithLabelNumber> found = FindSample(session, project, id);
    if (!found.has_value()) {
      return NoSample(project, id);
    }
    sample = std::move(found->sample);
    return absl::OkStatus();
  }));
  return sample;
}

absl::StatusOr<std::optional<Sample>> SqlSampleStore::FindByUplink(absl::string_view project,
                                                                   const Uplink& uplink) {
  std::optional<Sample> sample;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    sample.reset();
    const std::optional<std::string> id = FindUplink(session, std::string(project), uplink);
    if (id.has_value()) {
      std::optional<SampleWithLabelNumber> found = FindSample(session, project, *id);
      if (found.has_value()) {
        sample = std::move(found->sample);
      }
    }
    return absl::OkStatus();
  }));
  return sample;
}

absl::StatusOr<SamplePage> SqlSampleStore::List(absl::string_view project,
                                                const SampleFilter& filter, int page_size,
                                                absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(page_token));
  std::int64_t last_micros = 0;
  std::string last_id;
  if (!key.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(key, absl::MaxSplits('/', 1));
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &last_micros)) {
      return absl::InvalidArgumentError(
          "page_token: want next_page_token of the page before, or nothing");
    }
    last_id = parts[1];
  }
  SamplePage page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    page = {};
    SampleQuery query(project);
    query.Where(filter);
    if (!key.empty()) {
      const std::string before = query.Number(last_micros);
      const std::string same = query.Number(last_micros);
      const std::string after_id = query.Text(last_id);
      query.And(absl::StrCat("(s.create_micros < ", before, " OR (s.create_micros = ", same,
                             " AND s.sample_id > ", after_id, "))"));
    }
    // One more than asked tells whether a next page exists.
    const std::string limit = query.Number(std::int64_t{page_size} + 1);
    std::vector<SampleWithLabelNumber> found = SelectSamples(
        session, query, absl::StrCat("ORDER BY s.create_micros DESC, s.sample_id LIMIT ", limit));
    const bool more = found.size() > static_cast<std::size_t>(page_size);
    if (more) {
      found.pop_back();
      const Sample& end = found.back().sample;
      page.next_page_token =
          EncodePageToken(absl::StrCat(absl::ToUnixMicros(end.create_time), "/", end.id));
    }
    for (SampleWithLabelNumber& entry : found) {
      ReadDetails(session, entry.label_number, entry.sample);
      page.samples.push_back(std::move(entry.sample));
    }
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<SampleCounts> SqlSampleStore::Count(absl::string_view project,
                                                   const SampleFilter& filter) {
  SampleCounts counts;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    counts = {};
    SampleQuery query(project);
    query.Where(filter);
    {
      long long total = 0;
      long long labelled = 0;
      soci::statement select(session);
      select.exchange(soci::into(total));
      select.exchange(soci::into(labelled));
      query.BindTo(select);
      Select(select,
             absl::StrCat("SELECT COUNT(*), COALESCE(SUM(s.labelled), 0) FROM samples s WHERE ",
                          query.condition()),
             [] {});
      counts.total = total;
      counts.labelled = labelled;
    }
    std::string label;
    int split = 0;
    long long count = 0;
    soci::statement select(session);
    select.exchange(soci::into(label));
    select.exchange(soci::into(split));
    select.exchange(soci::into(count));
    query.BindTo(select);
    Select(
        select,
        absl::StrCat("SELECT q.label, s.split, COUNT(DISTINCT s.sample_id) FROM samples s"
                     " JOIN label_ranges q ON q.project = s.project AND q.sample_id = s.sample_id"
                     " AND q.number = s.label_number WHERE ",
                     query.condition(), " GROUP BY q.label, s.split"),
        [&] {
          auto& side =
              static_cast<Split>(split) == Split::kTesting ? counts.testing : counts.training;
          side[label] = count;
        });
    return absl::OkStatus();
  }));
  return counts;
}

absl::StatusOr<std::vector<absl::StatusOr<Label>>> SqlSampleStore::AddLabels(
    const std::vector<Label>& labels) {
  std::vector<absl::StatusOr<Label>> results;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    results.clear();
    for (const Label& label : labels) {
      results.push_back(AddLabel(session, label));
    }
    return absl::OkStatus();
  }));
  return results;
}

absl::StatusOr<LabelPage> SqlSampleStore::ListLabels(absl::string_view project,
                                                     absl::string_view sample_id, int page_size,
                                                     absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(page_token));
  std::int64_t last = 0;
  if (!key.empty() && !absl::SimpleAtoi(key, &last)) {
    return absl::InvalidArgumentError(
        "page_token: want next_page_token of the page before, or nothing");
  }
  LabelPage page;
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
    page.labels = SelectLabels(session, in_project, of_sample, last, std::int64_t{page_size} + 1);
    if (page.labels.size() > static_cast<std::size_t>(page_size)) {
      page.labels.pop_back();
      page.next_page_token = EncodePageToken(absl::StrCat(page.labels.back().number));
    }
    return absl::OkStatus();
  }));
  return page;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
