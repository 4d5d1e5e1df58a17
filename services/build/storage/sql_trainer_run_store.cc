// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_trainer_run_store.h"

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
  std::string id;
  std::string token;
  std::string inputs;
  long long expire_micros = 0;
  int finished = 0;
  int code = 0;
  std::string message;
  std::string outputs;

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(number), soci::into(id), soci::into(token),
        soci::into(inputs), soci::into(expire_micros), soci::into(finished), soci::into(code),
        soci::into(message), soci::into(outputs);
  }

  TrainerRun ToRun() const {
    return {.project = project,
            .number = number,
            .id = id,
            .token = token,
            .inputs = inputs,
            .expire_time = absl::FromUnixMicros(expire_micros),
            .finished = finished != 0,
            .code = static_cast<absl::StatusCode>(code),
            .message = message,
            .outputs = outputs};
  }
};

template <typename... Uses>
std::vector<TrainerRun> Select(soci::session& session, absl::string_view tail,
                               const Uses&... uses) {
  std::vector<TrainerRun> runs;
  SelectRows<Row>(
      session,
      absl::StrCat("SELECT project, number, id, token, inputs, expire_micros, finished, code, "
                   "message, outputs FROM trainer_runs ",
                   tail),
      [&](const Row& row) { runs.push_back(row.ToRun()); }, uses...);
  return runs;
}

constexpr char kOfBuild[] = "WHERE project = :project AND number = :number";
constexpr char kOfId[] = "WHERE id = :id";

}  // namespace

SqlTrainerRunStore::SqlTrainerRunStore(Database& database) : database_(database) {}

absl::StatusOr<TrainerRun> SqlTrainerRunStore::Insert(const TrainerRun& run) {
  TrainerRun stored;
  const absl::Status done = database_.Write([&](soci::session& session) {
    const long long number = run.number;
    std::vector<TrainerRun> known = Select(session, kOfBuild, run.project, number);
    if (!known.empty()) {
      stored = std::move(known.front());
      return absl::OkStatus();
    }
    const long long expire = absl::ToUnixMicros(run.expire_time);
    const int finished = run.finished ? 1 : 0;
    const int code = static_cast<int>(run.code);
    session << "INSERT INTO trainer_runs (project, number, id, token, inputs, expire_micros, "
               "finished, code, message, outputs) VALUES (:project, :number, :id, :token, :inputs, "
               ":expire, :finished, :code, :message, :outputs)",
        soci::use(run.project), soci::use(number), soci::use(run.id), soci::use(run.token),
        soci::use(run.inputs), soci::use(expire), soci::use(finished), soci::use(code),
        soci::use(run.message), soci::use(run.outputs);
    stored = run;
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::StatusOr<TrainerRun> SqlTrainerRunStore::Get(absl::string_view project, std::int64_t number) {
  const std::string wanted(project);
  const long long key = number;
  TrainerRun run;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    std::vector<TrainerRun> found = Select(session, kOfBuild, wanted, key);
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat("no run of ", BuildName(project, number)));
    }
    run = std::move(found.front());
    return absl::OkStatus();
  }));
  return run;
}

absl::StatusOr<TrainerRun> SqlTrainerRunStore::GetById(absl::string_view id) {
  const std::string wanted(id);
  TrainerRun run;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    std::vector<TrainerRun> found = Select(session, kOfId, wanted);
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat("no run ", id));
    }
    run = std::move(found.front());
    return absl::OkStatus();
  }));
  return run;
}

absl::StatusOr<TrainerRun> SqlTrainerRunStore::Finish(const TrainerRun& run) {
  TrainerRun stored;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    const int code = static_cast<int>(run.code);
    session << "UPDATE trainer_runs SET finished = 1, code = :code, message = :message, "
               "outputs = :outputs WHERE id = :id AND finished = 0",
        soci::use(code), soci::use(run.message), soci::use(run.outputs), soci::use(run.id);
    std::vector<TrainerRun> found = Select(session, kOfId, run.id);
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat("no run ", run.id));
    }
    stored = std::move(found.front());
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::Status SqlTrainerRunStore::Delete(absl::string_view id) {
  const std::string wanted(id);
  return database_.Write([&](soci::session& session) {
    session << "DELETE FROM trainer_runs WHERE id = :id", soci::use(wanted);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<TrainerRun>> SqlTrainerRunStore::List() {
  std::vector<TrainerRun> runs;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    runs = Select(session, "ORDER BY project, number");
    return absl::OkStatus();
  }));
  return runs;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
