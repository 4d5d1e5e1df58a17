// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/label_rows.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/sql/bulk_insert.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/storage/sample_query.h"

namespace fieldloop::ingestion {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

namespace {

// Ends the lease of a sample that is being labelled. If its labeller held it, the label says how
// they came by it.
void EndLease(soci::session& session, Label& label) {
  std::string holder;
  int reason = 0;
  double probability = 0;
  long long expire_micros = 0;
  session << "SELECT holder, reason, probability, expire_micros FROM labelling_leases"
             " WHERE project = :project AND sample_id = :sample",
      soci::use(label.project, "project"), soci::use(label.sample_id, "sample"), soci::into(holder),
      soci::into(reason), soci::into(probability), soci::into(expire_micros);
  if (!session.got_data()) {
    return;
  }
  if (holder == label.author && expire_micros > absl::ToUnixMicros(label.create_time)) {
    label.reason = static_cast<LabellingReason>(reason);
    label.probability = probability;
  }
  session << "DELETE FROM labelling_leases WHERE project = :project AND sample_id = :sample",
      soci::use(label.project, "project"), soci::use(label.sample_id, "sample");
}

}  // namespace

absl::Status NoSample(absl::string_view project, absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("no sample projects/", project, "/samples/", id));
}

void LabelColumns::Add(const Label& label) {
  project.push_back(label.project);
  sample_id.push_back(label.sample_id);
  number.push_back(label.number);
  author.push_back(label.author);
  source.push_back(label.source);
  create_micros.push_back(absl::ToUnixMicros(label.create_time));
  undoes.push_back(label.undoes);
  suggested_by.push_back(label.suggested_by);
  reason.push_back(static_cast<int>(label.reason));
  probability.push_back(label.probability);
  for (const LabelRange& range : label.ranges) {
    range_project.push_back(label.project);
    range_sample_id.push_back(label.sample_id);
    range_number.push_back(label.number);
    range_start.push_back(range.start);
    range_end.push_back(range.end);
    range_label.push_back(range.label);
  }
}

void LabelColumns::InsertInto(soci::session& session) const {
  BulkInsert("labels")
      .Column("project", project)
      .Column("sample_id", sample_id)
      .Column("number", number)
      .Column("author", author)
      .Column("source", source)
      .Column("create_micros", create_micros)
      .Column("undoes", undoes)
      .Column("suggested_by", suggested_by)
      .Column("reason", reason)
      .Column("probability", probability)
      .Run(session);
  BulkInsert("label_ranges")
      .Column("project", range_project)
      .Column("sample_id", range_sample_id)
      .Column("number", range_number)
      .Column("start_reading", range_start)
      .Column("end_reading", range_end)
      .Column("label", range_label)
      .Run(session);
}

absl::StatusOr<Label> AddLabel(soci::session& session, Label label) {
  long long readings = 0;
  long long newest = 0;
  session << "SELECT readings, label_number FROM samples"
             " WHERE project = :project AND sample_id = :sample",
      soci::use(label.project, "project"), soci::use(label.sample_id, "sample"),
      soci::into(readings), soci::into(newest);
  if (!session.got_data()) {
    return NoSample(label.project, label.sample_id);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(label.ranges,
                             ResolveRanges("ranges", std::move(label.ranges), readings));
  EndLease(session, label);
  label.number = newest + 1;  // The newest stands, so its number is the highest.
  LabelColumns columns;
  columns.Add(label);
  columns.InsertInto(session);
  const long long number = label.number;
  const int labelled = label.ranges.empty() ? 0 : 1;
  session << "UPDATE samples SET label_number = :number, labelled = :labelled"
             " WHERE project = :project AND sample_id = :sample",
      soci::use(number, "number"), soci::use(labelled, "labelled"),
      soci::use(label.project, "project"), soci::use(label.sample_id, "sample");
  RefreshQueue(session, label.project, label.sample_id);
  return label;
}

std::vector<Label> SelectLabels(soci::session& session, const std::string& project,
                                const std::string& sample_id, std::int64_t after,
                                std::int64_t limit) {
  std::vector<Label> labels;
  const long long above = after;
  const long long most = limit;
  long long number = 0;
  long long create_micros = 0;
  long long undoes = 0;
  int reason = 0;
  Label row;
  row.project = project;
  row.sample_id = sample_id;
  {
    soci::statement select =
        (session.prepare << "SELECT number, author, source, create_micros, undoes, suggested_by,"
                            " reason, probability FROM labels WHERE project = :project"
                            " AND sample_id = :sample AND number > :after"
                            " ORDER BY number LIMIT :limit",
         soci::use(project, "project"), soci::use(sample_id, "sample"), soci::use(above, "after"),
         soci::use(most, "limit"), soci::into(number), soci::into(row.author),
         soci::into(row.source), soci::into(create_micros), soci::into(undoes),
         soci::into(row.suggested_by), soci::into(reason), soci::into(row.probability));
    select.execute();
    while (select.fetch()) {
      row.number = number;
      row.create_time = absl::FromUnixMicros(create_micros);
      row.undoes = undoes;
      row.reason = static_cast<LabellingReason>(reason);
      labels.push_back(row);
    }
  }
  for (Label& label : labels) {
    label.ranges = SelectRanges(session, project, sample_id, label.number);
  }
  return labels;
}

std::optional<Suggestion> NewestSuggestion(soci::session& session, const std::string& project,
                                           const std::string& sample_id) {
  Suggestion suggestion;
  suggestion.project = project;
  suggestion.sample_id = sample_id;
  long long create_micros = 0;
  session << "SELECT model_digest, label, confidence, novelty, create_micros FROM suggestions"
             " WHERE project = :project AND sample_id = :sample"
             " ORDER BY create_micros DESC, model_digest LIMIT 1",
      soci::use(project, "project"), soci::use(sample_id, "sample"),
      soci::into(suggestion.model_digest), soci::into(suggestion.label),
      soci::into(suggestion.confidence), soci::into(suggestion.novelty), soci::into(create_micros);
  if (!session.got_data()) {
    return std::nullopt;
  }
  suggestion.create_time = absl::FromUnixMicros(create_micros);
  return suggestion;
}

void RefreshQueue(soci::session& session, const std::string& project,
                  const std::string& sample_id) {
  const std::vector<Label> history = SelectLabels(session, project, sample_id);
  const std::optional<Suggestion> newest = NewestSuggestion(session, project, sample_id);
  const int people = static_cast<int>(Opinions(history).size());
  const int disagreeing = Disagrees(history, newest) ? 1 : 0;
  session << "UPDATE samples SET people = :people, disagreeing = :disagreeing"
             " WHERE project = :project AND sample_id = :sample",
      soci::use(people, "people"), soci::use(disagreeing, "disagreeing"),
      soci::use(project, "project"), soci::use(sample_id, "sample");
  if (!newest.has_value()) {
    return;  // What the device said stands.
  }
  const QueueScores scores = ScoresOf(*newest);
  session << "UPDATE samples SET uncertainty = :uncertainty, novelty = :novelty"
             " WHERE project = :project AND sample_id = :sample",
      soci::use(scores.uncertainty, "uncertainty"), soci::use(scores.novelty, "novelty"),
      soci::use(project, "project"), soci::use(sample_id, "sample");
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::ingestion
