// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_model_rows.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/storage/row_text.h"
#include "services/build/storage/sql_rows.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kColumns[] =
    "project, number, digest, size_bytes, arena_bytes, build, dataset_version, impulse, "
    "parent_model, classes, trainer_metrics, metadata, dataset_digest, impulse_digest, seed, "
    "parent_digest, trainer_digest, create_micros, metrics, cortex_m4_instructions, "
    "host_inference_nanos, trainer, import_author";

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct Row {
  std::string project;
  long long number = 0;
  std::string digest;
  long long size_bytes = 0;
  long long arena_bytes = 0;
  long long build = 0;
  std::string dataset_version;
  std::string impulse;
  long long parent_model = 0;
  std::string classes;
  std::string trainer_metrics;
  std::string metadata;
  std::string dataset_digest;
  std::string impulse_digest;
  long long seed = 0;
  std::string parent_digest;
  std::string trainer_digest;
  long long create_micros = 0;
  std::string metrics;
  long long cortex_m4_instructions = 0;
  long long host_inference_nanos = 0;
  std::string trainer;
  std::string import_author;

  static Row From(const Model& model) {
    return {.project = model.project,
            .number = model.number,
            .digest = model.digest,
            .size_bytes = model.size_bytes,
            .arena_bytes = model.arena_bytes,
            .build = model.build,
            .dataset_version = model.dataset_version,
            .impulse = model.impulse,
            .parent_model = model.parent_model,
            .classes = TextOfStrings(model.classes),
            .trainer_metrics = TextOfMetrics(model.trainer_metrics),
            .metadata = TextOfBytes(model.metadata),
            .dataset_digest = model.inputs.dataset_digest,
            .impulse_digest = model.inputs.impulse_digest,
            .seed = model.inputs.seed,
            .parent_digest = model.inputs.parent_digest,
            .trainer_digest = model.inputs.trainer_digest,
            .create_micros = absl::ToUnixMicros(model.create_time),
            .metrics = TextOfMetrics(model.metrics),
            .cortex_m4_instructions = model.cortex_m4_instructions,
            .host_inference_nanos = model.host_inference_nanos,
            .trainer = model.trainer,
            .import_author = model.import_author};
  }

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(number), soci::into(digest), soci::into(size_bytes),
        soci::into(arena_bytes), soci::into(build), soci::into(dataset_version),
        soci::into(impulse), soci::into(parent_model), soci::into(classes),
        soci::into(trainer_metrics), soci::into(metadata), soci::into(dataset_digest),
        soci::into(impulse_digest), soci::into(seed), soci::into(parent_digest),
        soci::into(trainer_digest), soci::into(create_micros), soci::into(metrics),
        soci::into(cortex_m4_instructions), soci::into(host_inference_nanos), soci::into(trainer),
        soci::into(import_author);
  }

  absl::StatusOr<Model> ToModel() const {
    Model model{.project = project,
                .number = number,
                .digest = digest,
                .size_bytes = size_bytes,
                .arena_bytes = arena_bytes,
                .build = build,
                .dataset_version = dataset_version,
                .impulse = impulse,
                .parent_model = parent_model,
                .classes = {},
                .trainer_metrics = {},
                .metrics = {},
                .cortex_m4_instructions = cortex_m4_instructions,
                .host_inference_nanos = host_inference_nanos,
                .trainer = trainer,
                .import_author = import_author,
                .metadata = "",
                .inputs = {.dataset_digest = dataset_digest,
                           .impulse_digest = impulse_digest,
                           .seed = static_cast<std::uint32_t>(seed),
                           .parent_digest = parent_digest,
                           .trainer_digest = trainer_digest},
                .create_time = absl::FromUnixMicros(create_micros),
                .aliases = {}};
    FIELDLOOP_ASSIGN_OR_RETURN(model.classes, StringsOfText(classes));
    FIELDLOOP_ASSIGN_OR_RETURN(model.trainer_metrics, MetricsOfText(trainer_metrics));
    FIELDLOOP_ASSIGN_OR_RETURN(model.metadata, BytesOfText(metadata));
    FIELDLOOP_ASSIGN_OR_RETURN(model.metrics, MetricsOfText(metrics));
    return model;
  }
};

struct AliasRow {
  std::string alias;
  long long model = 0;
  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(alias), soci::into(model);
  }
};

}  // namespace

std::int64_t InsertModel(soci::session& session, const Model& model) {
  Row row = Row::From(model);
  session << "SELECT COALESCE(MAX(number), 0) + 1 FROM models WHERE project = :project",
      soci::use(row.project), soci::into(row.number);
  session << absl::StrCat(
      "INSERT INTO models (", kColumns,
      ") VALUES (:project, :number, :digest, :size, :arena, :build, :dataset, "
      ":impulse, :parent, :classes, :metrics, :metadata, :dataset_digest, "
      ":impulse_digest, :seed, :parent_digest, :trainer_digest, :created, :judged, "
      ":instructions, :nanos, :trainer, :author)"),
      soci::use(row.project), soci::use(row.number), soci::use(row.digest),
      soci::use(row.size_bytes), soci::use(row.arena_bytes), soci::use(row.build),
      soci::use(row.dataset_version), soci::use(row.impulse), soci::use(row.parent_model),
      soci::use(row.classes), soci::use(row.trainer_metrics), soci::use(row.metadata),
      soci::use(row.dataset_digest), soci::use(row.impulse_digest), soci::use(row.seed),
      soci::use(row.parent_digest), soci::use(row.trainer_digest), soci::use(row.create_micros),
      soci::use(row.metrics), soci::use(row.cortex_m4_instructions),
      soci::use(row.host_inference_nanos), soci::use(row.trainer), soci::use(row.import_author);
  return row.number;
}

absl::StatusOr<std::vector<Model>> SelectModels(soci::session& session, const std::string& project,
                                                std::int64_t number, const ModelFilter& filter,
                                                std::int64_t before, int limit) {
  std::map<long long, std::vector<std::string>> aliases;
  SelectRows<AliasRow>(
      session, "SELECT alias, model FROM aliases WHERE project = :project ORDER BY alias",
      [&](const AliasRow& row) { aliases[row.model].push_back(row.alias); }, project);
  Row into;
  const long long below = before;
  const long long wanted = number;
  // Placeholders are bound in the order in which they appear.
  soci::details::prepare_temp_type prepared = session.prepare << "";
  if (!filter.dataset_versions.empty()) {
    prepared << "WITH RECURSIVE family (number) AS (SELECT number FROM models"
                " WHERE project = :trained_in AND dataset_version IN (";
    for (std::size_t i = 0; i < filter.dataset_versions.size(); ++i) {
      prepared << (i == 0 ? ":d" : ", :d") << i;
    }
    prepared << ") UNION SELECT child.number FROM models child JOIN family"
                " ON child.parent_model = family.number WHERE child.project = :child_in) ";
    prepared, soci::use(project);
    for (const std::string& version : filter.dataset_versions) {
      prepared, soci::use(version);
    }
    prepared, soci::use(project);
  }
  prepared << "SELECT " << kColumns << " FROM models WHERE project = :project";
  prepared, soci::use(project);
  if (number != 0) {
    prepared << " AND number = :number";
    prepared, soci::use(wanted);
  } else {
    if (!filter.digest.empty()) {
      prepared << " AND digest = :digest";
      prepared, soci::use(filter.digest);
    }
    if (!filter.dataset_versions.empty()) {
      prepared << " AND number IN (SELECT number FROM family)";
    }
    prepared << " AND number < :before ORDER BY number DESC LIMIT :limit";
    prepared, soci::use(below), soci::use(limit);
  }
  into.Into(prepared);
  std::vector<Row> rows;
  soci::statement statement(prepared);
  statement.execute();
  while (statement.fetch()) {
    rows.push_back(into);
  }
  std::vector<Model> models;
  for (const Row& row : rows) {
    FIELDLOOP_ASSIGN_OR_RETURN(Model model, row.ToModel());
    if (const auto found = aliases.find(row.number); found != aliases.end()) {
      model.aliases = found->second;
    }
    models.push_back(std::move(model));
  }
  return models;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
