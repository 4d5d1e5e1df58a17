// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_model_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/names.h"
#include "services/build/storage/sql_model_rows.h"
#include "services/build/storage/sql_rows.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct NumberRow {
  long long number = 0;
  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(number);
  }
};

// The oldest model of the project made from `inputs`; 0 if there is none.
long long NumberOf(soci::session& session, const std::string& project, const ModelInputs& inputs) {
  const long long seed = inputs.seed;
  long long number = 0;
  SelectRows<NumberRow>(
      session,
      "SELECT number FROM models WHERE project = :project AND dataset_digest = :dataset "
      "AND impulse_digest = :impulse AND seed = :seed AND parent_digest = :parent "
      "AND trainer_digest = :trainer ORDER BY number LIMIT 1",
      [&](const NumberRow& row) { number = row.number; }, project, inputs.dataset_digest,
      inputs.impulse_digest, seed, inputs.parent_digest, inputs.trainer_digest);
  return number;
}

struct ChangeRow {
  std::string project;
  std::string alias;
  long long sequence = 0;
  long long model = 0;
  std::string author;
  std::string reason;
  long long create_micros = 0;

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(alias), soci::into(sequence), soci::into(model),
        soci::into(author), soci::into(reason), soci::into(create_micros);
  }
};

absl::Status NoModel(absl::string_view project, absl::string_view what) {
  return absl::NotFoundError(absl::StrCat("no model projects/", project, "/models/", what));
}

absl::StatusOr<Model> SelectModel(soci::session& session, const std::string& project,
                                  std::int64_t number, absl::string_view what) {
  if (number == 0) {
    return NoModel(project, what);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<Model> models,
                             SelectModels(session, project, number, {}, 0, 1));
  if (models.empty()) {
    return NoModel(project, what);
  }
  return std::move(models.front());
}

}  // namespace

SqlModelStore::SqlModelStore(Database& database) : database_(database) {}

absl::StatusOr<Model> SqlModelStore::Get(absl::string_view project, std::int64_t number) {
  Model model;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(
        model, SelectModel(session, std::string(project), number, absl::StrCat(number)));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return model;
}

absl::StatusOr<Model> SqlModelStore::GetByAlias(absl::string_view project,
                                                absl::string_view alias) {
  const std::string wanted_project(project);
  const std::string wanted_alias(alias);
  Model model;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    long long number = 0;
    SelectRows<NumberRow>(
        session, "SELECT model FROM aliases WHERE project = :project AND alias = :alias",
        [&](const NumberRow& row) { number = row.number; }, wanted_project, wanted_alias);
    FIELDLOOP_ASSIGN_OR_RETURN(model, SelectModel(session, wanted_project, number, alias));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return model;
}

absl::StatusOr<Model> SqlModelStore::Insert(const Model& model) {
  Model stored;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    const long long number = NumberOf(session, model.project, model.inputs);
    if (number != 0) {
      FIELDLOOP_ASSIGN_OR_RETURN(stored, SelectModel(session, model.project, number, ""));
      return absl::OkStatus();
    }
    stored = model;
    stored.number = InsertModel(session, model);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::StatusOr<Model> SqlModelStore::FindByInputs(absl::string_view project,
                                                  const ModelInputs& inputs) {
  const std::string wanted(project);
  Model model;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(
        model,
        SelectModel(session, wanted, NumberOf(session, wanted, inputs), "(of the same inputs)"));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return model;
}

absl::StatusOr<std::vector<Model>> SqlModelStore::List(absl::string_view project,
                                                       const ModelFilter& filter,
                                                       std::int64_t before, int limit) {
  std::vector<Model> models;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(
        models, SelectModels(session, std::string(project), 0, filter, before, limit));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return models;
}

absl::StatusOr<AliasChange> SqlModelStore::PutAlias(const AliasChange& change) {
  AliasChange stored = change;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    if (change.model != 0) {
      FIELDLOOP_RETURN_IF_ERROR(
          SelectModel(session, change.project, change.model, absl::StrCat(change.model)).status());
    }
    long long sequence = 0;
    const long long model = change.model;
    const long long micros = absl::ToUnixMicros(change.create_time);
    session << "SELECT COALESCE(MAX(sequence), 0) + 1 FROM alias_changes "
               "WHERE project = :project AND alias = :alias",
        soci::use(change.project), soci::use(change.alias), soci::into(sequence);
    session << "INSERT INTO alias_changes "
               "(project, alias, sequence, model, author, reason, create_micros) "
               "VALUES (:project, :alias, :sequence, :model, :author, :reason, :micros)",
        soci::use(change.project), soci::use(change.alias), soci::use(sequence), soci::use(model),
        soci::use(change.author), soci::use(change.reason), soci::use(micros);
    if (model == 0) {
      session << "DELETE FROM aliases WHERE project = :project AND alias = :alias",
          soci::use(change.project), soci::use(change.alias);
    } else {
      session << "INSERT INTO aliases (project, alias, model) VALUES (:project, :alias, :model) "
                 "ON CONFLICT (project, alias) DO UPDATE SET model = excluded.model",
          soci::use(change.project), soci::use(change.alias), soci::use(model);
    }
    stored.sequence = sequence;
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::StatusOr<std::vector<AliasChange>> SqlModelStore::ListAliasChanges(absl::string_view project,
                                                                         absl::string_view alias,
                                                                         std::int64_t before,
                                                                         int limit) {
  const std::string wanted_project(project);
  const std::string wanted_alias(alias);
  const long long below = before;
  std::vector<AliasChange> changes;
  const absl::Status done = database_.Read([&](soci::session& session) {
    changes.clear();
    SelectRows<ChangeRow>(
        session,
        "SELECT project, alias, sequence, model, author, reason, create_micros "
        "FROM alias_changes WHERE project = :project AND alias = :alias AND sequence < :before "
        "ORDER BY sequence DESC LIMIT :limit",
        [&](const ChangeRow& row) {
          changes.push_back({.project = row.project,
                             .alias = row.alias,
                             .sequence = row.sequence,
                             .model = row.model,
                             .author = row.author,
                             .reason = row.reason,
                             .create_time = absl::FromUnixMicros(row.create_micros)});
        },
        wanted_project, wanted_alias, below, limit);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return changes;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
