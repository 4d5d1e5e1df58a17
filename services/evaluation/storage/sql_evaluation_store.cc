// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <soci/soci.h>

#include "migrations/evaluation_storage.h"
#include "services/common/status/status_macros.h"
#include "services/evaluation/storage/codec.h"
#include "services/evaluation/storage/sql_stores.h"
#include "services/evaluation/storage/sql_text.h"

namespace fieldloop::evaluation {
namespace {

// One row; SOCI binds long long, not std::int64_t.
struct Row {
  std::string project;
  long long number = 0;
  std::string model;
  std::string dataset_version;
  std::string baseline_model;
  std::string slice_keys;
  long long state = 0;
  double progress = 0;
  std::string error;
  std::string slices;
  long long create_micros = 0;
  long long end_micros = 0;
  std::string traceparent;
};

absl::StatusOr<Evaluation> FromRow(const Row& row) {
  Evaluation evaluation;
  evaluation.project = row.project;
  evaluation.number = row.number;
  evaluation.model = row.model;
  evaluation.dataset_version = row.dataset_version;
  evaluation.baseline_model = row.baseline_model;
  evaluation.state = static_cast<EvaluationState>(row.state);
  evaluation.progress = row.progress;
  evaluation.error = row.error;
  evaluation.create_time = FromMicros(row.create_micros);
  evaluation.end_time = FromMicros(row.end_micros);
  evaluation.traceparent = row.traceparent;
  FIELDLOOP_RETURN_IF_ERROR(DecodeTexts(row.slice_keys, evaluation.slice_keys));
  FIELDLOOP_RETURN_IF_ERROR(DecodeSlices(row.slices, evaluation.slices));
  return evaluation;
}

constexpr char kColumns[] =
    "project, number, model, dataset_version, baseline_model, slice_keys, state, progress, error, "
    "slices, create_micros, end_micros, traceparent";

absl::StatusOr<Evaluation> Select(soci::session& session, const std::string& project,
                                  long long number) {
  Row row;
  session << "SELECT " << kColumns
          << " FROM evaluations WHERE project = :project AND number = :number",
      soci::use(project, "project"), soci::use(number, "number"), soci::into(row.project),
      soci::into(row.number), soci::into(row.model), soci::into(row.dataset_version),
      soci::into(row.baseline_model), soci::into(row.slice_keys), soci::into(row.state),
      soci::into(row.progress), soci::into(row.error), soci::into(row.slices),
      soci::into(row.create_micros), soci::into(row.end_micros), soci::into(row.traceparent);
  if (!session.got_data()) {
    return absl::NotFoundError(absl::StrCat(project, "/evaluations/", number, " is not there"));
  }
  return FromRow(row);
}

}  // namespace

const std::vector<Migration>& EvaluationMigrations() { return Migrations(); }

absl::StatusOr<Evaluation> SqlEvaluationStore::Insert(const Evaluation& evaluation,
                                                      const std::string& request_id) {
  Evaluation stored;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    if (!request_id.empty()) {
      long long number = 0;
      session << "SELECT number FROM request_ids WHERE kind = 'evaluation' AND project = :project "
                 "AND request_id = :id",
          soci::use(evaluation.project, "project"), soci::use(request_id, "id"), soci::into(number);
      if (session.got_data()) {
        FIELDLOOP_ASSIGN_OR_RETURN(stored, Select(session, evaluation.project, number));
        return absl::OkStatus();
      }
    }
    long long number = 0;
    session << "SELECT COALESCE(MAX(number), 0) + 1 FROM evaluations WHERE project = :project",
        soci::use(evaluation.project, "project"), soci::into(number);
    const std::string slice_keys = EncodeTexts(evaluation.slice_keys);
    const std::string none;
    const long long state = static_cast<long long>(evaluation.state);
    const long long create_micros = ToMicros(evaluation.create_time);
    session << "INSERT INTO evaluations (project, number, request_id, model, dataset_version, "
               "baseline_model, slice_keys, state, progress, error, slices, create_micros, "
               "end_micros, traceparent) VALUES (:project, :number, :request, :model, :dataset, "
               ":baseline, :keys, :state, 0, :error, :slices, :created, 0, :traceparent)",
        soci::use(evaluation.project, "project"), soci::use(number, "number"),
        soci::use(request_id, "request"), soci::use(evaluation.model, "model"),
        soci::use(evaluation.dataset_version, "dataset"),
        soci::use(evaluation.baseline_model, "baseline"), soci::use(slice_keys, "keys"),
        soci::use(state, "state"), soci::use(none, "error"), soci::use(none, "slices"),
        soci::use(create_micros, "created"), soci::use(evaluation.traceparent, "traceparent");
    if (!request_id.empty()) {
      session << "INSERT INTO request_ids (kind, project, request_id, number) VALUES "
                 "('evaluation', :project, :id, :number)",
          soci::use(evaluation.project, "project"), soci::use(request_id, "id"),
          soci::use(number, "number");
    }
    FIELDLOOP_ASSIGN_OR_RETURN(stored, Select(session, evaluation.project, number));
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<Evaluation> SqlEvaluationStore::Get(const std::string& project,
                                                   std::int64_t number) {
  absl::StatusOr<Evaluation> found = absl::InternalError("not read");
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    found = Select(session, project, number);
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<Page<Evaluation>> SqlEvaluationStore::List(const std::string& project, int page_size,
                                                          const std::string& page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const long long below, BelowNumber(page_token));
  Page<Evaluation> page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    Row row;
    const long long limit = static_cast<long long>(page_size) + 1;
    soci::statement statement =
        (session.prepare << "SELECT project, number, model, dataset_version, baseline_model, "
                            "slice_keys, state, progress, error, create_micros, end_micros, "
                            "traceparent FROM evaluations WHERE project = :project AND number < "
                            ":below ORDER BY number DESC LIMIT :limit",
         soci::use(project, "project"), soci::use(below, "below"), soci::use(limit, "limit"),
         soci::into(row.project), soci::into(row.number), soci::into(row.model),
         soci::into(row.dataset_version), soci::into(row.baseline_model),
         soci::into(row.slice_keys), soci::into(row.state), soci::into(row.progress),
         soci::into(row.error), soci::into(row.create_micros), soci::into(row.end_micros),
         soci::into(row.traceparent));
    statement.execute();
    page = {};
    while (statement.fetch()) {
      if (page.rows.size() == static_cast<std::size_t>(page_size)) {
        page.next_page_token = absl::StrCat(page.rows.back().number);
        break;
      }
      FIELDLOOP_ASSIGN_OR_RETURN(Evaluation evaluation, FromRow(row));
      page.rows.push_back(std::move(evaluation));
    }
    return absl::OkStatus();
  }));
  return page;
}

absl::Status SqlEvaluationStore::Save(const Evaluation& evaluation) {
  const long long number = evaluation.number;
  const long long state = static_cast<long long>(evaluation.state);
  const std::string slices = evaluation.slices.empty() ? "" : EncodeSlices(evaluation.slices);
  const long long end_micros = ToMicros(evaluation.end_time);
  return database_.Write([&](soci::session& session) -> absl::Status {
    soci::statement statement =
        (session.prepare << "UPDATE evaluations SET state = :state, progress = :progress, error = "
                            ":error, slices = :slices, end_micros = :ended WHERE project = "
                            ":project AND number = :number",
         soci::use(state, "state"), soci::use(evaluation.progress, "progress"),
         soci::use(evaluation.error, "error"), soci::use(slices, "slices"),
         soci::use(end_micros, "ended"), soci::use(evaluation.project, "project"),
         soci::use(number, "number"));
    statement.execute(true);
    return statement.get_affected_rows() == 1
               ? absl::OkStatus()
               : absl::NotFoundError(absl::StrCat(evaluation.name(), " is not there"));
  });
}

absl::StatusOr<std::optional<Evaluation>> SqlEvaluationStore::NextUnfinished() {
  std::optional<Evaluation> next;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    std::string project;
    long long number = 0;
    session << "SELECT project, number FROM evaluations WHERE state IN (1, 2) ORDER BY "
               "create_micros, project, number LIMIT 1",
        soci::into(project), soci::into(number);
    next.reset();
    if (session.got_data()) {
      FIELDLOOP_ASSIGN_OR_RETURN(next, Select(session, project, number));
    }
    return absl::OkStatus();
  }));
  return next;
}

absl::StatusOr<std::map<EvaluationState, std::int64_t>> SqlEvaluationStore::CountByState() {
  std::map<EvaluationState, std::int64_t> counts;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    long long state = 0;
    long long count = 0;
    soci::statement statement =
        (session.prepare << "SELECT state, COUNT(*) FROM evaluations GROUP BY state",
         soci::into(state), soci::into(count));
    statement.execute();
    counts.clear();
    while (statement.fetch()) {
      counts[static_cast<EvaluationState>(state)] = count;
    }
    return absl::OkStatus();
  }));
  return counts;
}

absl::StatusOr<PolicyVersion> SqlPolicyStore::Put(const std::string& project,
                                                  const std::string& yaml, absl::Time now) {
  long long version = 0;
  const long long micros = ToMicros(now);
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) {
    session << "SELECT COALESCE(MAX(version), 0) + 1 FROM policies WHERE project = :project",
        soci::use(project, "project"), soci::into(version);
    session << "INSERT INTO policies (project, version, yaml, update_micros) VALUES (:project, "
               ":version, :yaml, :updated)",
        soci::use(project, "project"), soci::use(version, "version"), soci::use(yaml, "yaml"),
        soci::use(micros, "updated");
    return absl::OkStatus();
  }));
  return PolicyVersion{.project = project,
                       .version = static_cast<int>(version),
                       .yaml = yaml,
                       .update_time = FromMicros(micros)};
}

absl::StatusOr<PolicyVersion> SqlPolicyStore::Get(const std::string& project, int version) {
  PolicyVersion found;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    const long long wanted = version > 0 ? version : std::numeric_limits<long long>::max();
    long long number = 0;
    long long micros = 0;
    std::string yaml;
    session << "SELECT version, yaml, update_micros FROM policies WHERE project = :project AND "
               "version <= :version ORDER BY version DESC LIMIT 1",
        soci::use(project, "project"), soci::use(wanted, "version"), soci::into(number),
        soci::into(yaml), soci::into(micros);
    if (!session.got_data() || (version > 0 && number != version)) {
      return absl::NotFoundError(absl::StrCat(project, " has no policy"));
    }
    found = {.project = project,
             .version = static_cast<int>(number),
             .yaml = yaml,
             .update_time = FromMicros(micros)};
    return absl::OkStatus();
  }));
  return found;
}

}  // namespace fieldloop::evaluation
