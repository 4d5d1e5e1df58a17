// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/sql_build_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/build/domain/fair_order.h"
#include "services/build/domain/names.h"
#include "services/build/domain/reasons.h"
#include "services/build/storage/row_text.h"
#include "services/build/storage/sql_model_rows.h"
#include "services/build/storage/sql_rows.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr char kColumns[] =
    "project, number, dataset_version, dataset_digest, impulse, impulse_digest, seed, "
    "parent_model, parent_digest, request_id, state, progress, activity, epoch, epochs, metrics, "
    "error, model, trainer, trainer_digest, log_digest, create_micros, start_micros, end_micros, "
    "owner, attempt, interruptions, waits, lease_micros, not_before_micros, trainer_id, history, "
    "candidates, traceparent";
// The same with nothing of what grows with the training.
constexpr char kListColumns[] =
    "project, number, dataset_version, dataset_digest, impulse, impulse_digest, seed, "
    "parent_model, parent_digest, request_id, state, progress, activity, epoch, epochs, metrics, "
    "error, model, trainer, trainer_digest, log_digest, create_micros, start_micros, end_micros, "
    "owner, attempt, interruptions, waits, lease_micros, not_before_micros, trainer_id, '', '', "
    "traceparent";

constexpr int kQueuedState = static_cast<int>(BuildState::kQueued);
constexpr int kFirstRunningState = static_cast<int>(BuildState::kPreparing);
constexpr int kLastRunningState = static_cast<int>(BuildState::kPackaging);

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
struct Row {
  std::string project;
  long long number = 0;
  std::string dataset_version;
  std::string dataset_digest;
  std::string impulse;
  std::string impulse_digest;
  long long seed = 0;
  long long parent_model = 0;
  std::string parent_digest;
  std::string request_id;
  int state = 0;
  double progress = 0;
  std::string activity;
  int epoch = 0;
  int epochs = 0;
  std::string metrics;
  std::string error;
  long long model = 0;
  std::string trainer;
  std::string trainer_digest;
  std::string log_digest;
  long long create_micros = 0;
  long long start_micros = 0;
  long long end_micros = 0;
  std::string owner;
  int attempt = 0;
  int interruptions = 0;
  int waits = 0;
  long long lease_micros = 0;
  long long not_before_micros = 0;
  std::string trainer_id;
  std::string history;
  std::string candidates;
  std::string traceparent;

  static Row From(const Build& build) {
    return {.project = build.project,
            .number = build.number,
            .dataset_version = build.dataset_version,
            .dataset_digest = build.dataset_digest,
            .impulse = build.impulse,
            .impulse_digest = build.impulse_digest,
            .seed = build.seed,
            .parent_model = build.parent_model,
            .parent_digest = build.parent_digest,
            .request_id = build.request_id,
            .state = static_cast<int>(build.state),
            .progress = build.progress,
            .activity = build.activity,
            .epoch = build.epoch,
            .epochs = build.epochs,
            .metrics = TextOfMetrics(build.metrics),
            .error = build.error,
            .model = build.model,
            .trainer = build.trainer,
            .trainer_digest = build.trainer_digest,
            .log_digest = build.log_digest,
            .create_micros = absl::ToUnixMicros(build.create_time),
            .start_micros = absl::ToUnixMicros(build.start_time),
            .end_micros = absl::ToUnixMicros(build.end_time),
            .owner = build.owner,
            .attempt = build.attempt,
            .interruptions = build.interruptions,
            .waits = build.waits,
            .lease_micros = absl::ToUnixMicros(build.lease_until),
            .not_before_micros = absl::ToUnixMicros(build.not_before),
            .trainer_id = build.trainer_id,
            .history = TextOfHistory(build.history),
            .candidates = TextOfCandidates(build.candidates),
            .traceparent = build.traceparent};
  }

  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(number), soci::into(dataset_version),
        soci::into(dataset_digest), soci::into(impulse), soci::into(impulse_digest),
        soci::into(seed), soci::into(parent_model), soci::into(parent_digest),
        soci::into(request_id), soci::into(state), soci::into(progress), soci::into(activity),
        soci::into(epoch), soci::into(epochs), soci::into(metrics), soci::into(error),
        soci::into(model), soci::into(trainer), soci::into(trainer_digest), soci::into(log_digest),
        soci::into(create_micros), soci::into(start_micros), soci::into(end_micros),
        soci::into(owner), soci::into(attempt), soci::into(interruptions), soci::into(waits),
        soci::into(lease_micros), soci::into(not_before_micros), soci::into(trainer_id),
        soci::into(history), soci::into(candidates), soci::into(traceparent);
  }

  absl::StatusOr<Build> ToBuild() const {
    Build build;
    build.project = project;
    build.number = number;
    build.dataset_version = dataset_version;
    build.dataset_digest = dataset_digest;
    build.impulse = impulse;
    build.impulse_digest = impulse_digest;
    build.seed = static_cast<std::uint32_t>(seed);
    build.parent_model = parent_model;
    build.parent_digest = parent_digest;
    build.request_id = request_id;
    build.traceparent = traceparent;
    build.state = static_cast<BuildState>(state);
    build.progress = progress;
    build.activity = activity;
    build.epoch = epoch;
    build.epochs = epochs;
    FIELDLOOP_ASSIGN_OR_RETURN(build.metrics, MetricsOfText(metrics));
    build.error = error;
    build.model = model;
    build.trainer = trainer;
    build.trainer_digest = trainer_digest;
    build.log_digest = log_digest;
    build.create_time = absl::FromUnixMicros(create_micros);
    build.start_time = absl::FromUnixMicros(start_micros);
    build.end_time = absl::FromUnixMicros(end_micros);
    build.owner = owner;
    build.attempt = attempt;
    build.interruptions = interruptions;
    build.waits = waits;
    build.lease_until = absl::FromUnixMicros(lease_micros);
    build.not_before = absl::FromUnixMicros(not_before_micros);
    build.trainer_id = trainer_id;
    FIELDLOOP_ASSIGN_OR_RETURN(build.history, HistoryOfText(history));
    FIELDLOOP_ASSIGN_OR_RETURN(build.candidates, CandidatesOfText(candidates));
    return build;
  }
};

template <typename... Uses>
absl::StatusOr<std::vector<Build>> SelectColumns(soci::session& session, absl::string_view columns,
                                                 absl::string_view tail, const Uses&... uses) {
  std::vector<Row> rows;
  SelectRows<Row>(
      session, absl::StrCat("SELECT ", columns, " FROM builds ", tail),
      [&](const Row& row) { rows.push_back(row); }, uses...);
  std::vector<Build> builds;
  for (const Row& row : rows) {
    FIELDLOOP_ASSIGN_OR_RETURN(Build build, row.ToBuild());
    builds.push_back(std::move(build));
  }
  return builds;
}

template <typename... Uses>
absl::StatusOr<std::vector<Build>> Select(soci::session& session, absl::string_view tail,
                                          const Uses&... uses) {
  return SelectColumns(session, kColumns, tail, uses...);
}

struct WaitingRow {
  std::string project;
  long long number = 0;
  long long create_micros = 0;
  long long not_before_micros = 0;
  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(number), soci::into(create_micros),
        soci::into(not_before_micros);
  }
};

struct RunningRow {
  std::string project;
  long long running = 0;
  template <typename Prepared>
  void Into(Prepared& prepared) {
    prepared, soci::into(project), soci::into(running);
  }
};

std::string RunningCondition() {
  return absl::StrCat("state >= ", kFirstRunningState, " AND state <= ", kLastRunningState);
}

// Builds that wait: those queued and, if `with_left`, those that were left by their process.
std::vector<WaitingBuild> SelectWaiting(soci::session& session, absl::Time now, bool with_left) {
  const std::string select =
      "SELECT project, number, create_micros, not_before_micros FROM builds WHERE ";
  const std::string queued = absl::StrCat(select, "state = ", kQueuedState);
  std::vector<WaitingBuild> waiting;
  const auto take = [&waiting](const WaitingRow& row) {
    waiting.push_back({.project = row.project,
                       .number = row.number,
                       .create_time = absl::FromUnixMicros(row.create_micros),
                       .not_before = absl::FromUnixMicros(row.not_before_micros)});
  };
  if (with_left) {
    const long long micros = absl::ToUnixMicros(now);
    SelectRows<WaitingRow>(
        session,
        absl::StrCat(queued, " UNION ALL ", select, RunningCondition(), " AND lease_micros < :now"),
        take, micros);
  } else {
    SelectRows<WaitingRow>(session, queued, take);
  }
  return waiting;
}

// The same by FairOrder.
std::vector<WaitingBuild> SelectOrder(soci::session& session, absl::Time now, bool with_left) {
  const long long micros = absl::ToUnixMicros(now);
  std::vector<WaitingBuild> waiting = SelectWaiting(session, now, with_left);
  if (waiting.size() < 2) {
    return waiting;
  }
  std::map<std::string, ProjectTurn> turns;
  for (const WaitingBuild& build : waiting) {
    turns[build.project];
  }
  for (auto& [project, turn] : turns) {
    long long last = 0;
    session << "SELECT COALESCE(MAX(start_micros), 0) FROM builds WHERE project = :project",
        soci::use(project), soci::into(last);
    turn.last_start = absl::FromUnixMicros(last);
  }
  SelectRows<RunningRow>(
      session,
      absl::StrCat("SELECT project, COUNT(*) FROM builds WHERE ", RunningCondition(),
                   " AND lease_micros >= :now GROUP BY project"),
      [&turns](const RunningRow& row) { turns[row.project].running = row.running; }, micros);
  return FairOrder(std::move(waiting), std::move(turns), now);
}

absl::StatusOr<Build> SelectOne(soci::session& session, const std::string& project,
                                std::int64_t number) {
  const long long wanted = number;
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::vector<Build> builds,
      Select(session, "WHERE project = :project AND number = :number", project, wanted));
  if (builds.empty()) {
    return absl::NotFoundError(absl::StrCat("no build ", BuildName(project, number)));
  }
  return std::move(builds.front());
}

absl::StatusOr<std::vector<Build>> SelectByRequest(soci::session& session,
                                                   const std::string& project,
                                                   const std::string& request_id) {
  return Select(session, "WHERE project = :project AND request_id = :request_id", project,
                request_id);
}

// Writes back what can change.
void Store(soci::session& session, const Build& build) {
  const Row row = Row::From(build);
  session << "UPDATE builds SET state = :state, progress = :progress, activity = :activity, "
             "epoch = :epoch, epochs = :epochs, metrics = :metrics, error = :error, "
             "model = :model, trainer = :trainer, trainer_digest = :trainer_digest, "
             "log_digest = :log, start_micros = :start, end_micros = :ended, owner = :owner, "
             "attempt = :attempt, interruptions = :interruptions, waits = :waits, "
             "lease_micros = :lease, not_before_micros = :not_before, history = :history, "
             "candidates = :candidates "
             "WHERE project = :project AND number = :number",
      soci::use(row.state), soci::use(row.progress), soci::use(row.activity), soci::use(row.epoch),
      soci::use(row.epochs), soci::use(row.metrics), soci::use(row.error), soci::use(row.model),
      soci::use(row.trainer), soci::use(row.trainer_digest), soci::use(row.log_digest),
      soci::use(row.start_micros), soci::use(row.end_micros), soci::use(row.owner),
      soci::use(row.attempt), soci::use(row.interruptions), soci::use(row.waits),
      soci::use(row.lease_micros), soci::use(row.not_before_micros), soci::use(row.history),
      soci::use(row.candidates), soci::use(row.project), soci::use(row.number);
}

}  // namespace

SqlBuildStore::SqlBuildStore(Database& database) : database_(database) {}

absl::StatusOr<Build> SqlBuildStore::Insert(const Build& build, std::int64_t max_queued) {
  Build stored;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    if (!build.request_id.empty()) {
      FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Build> first,
                                 SelectByRequest(session, build.project, build.request_id));
      if (!first.empty()) {
        stored = first.front();
        return absl::OkStatus();
      }
    }
    Row row = Row::From(build);
    long long queued = 0;
    session << "SELECT (SELECT COUNT(*) FROM builds WHERE project = :project AND state = :state), "
               "(SELECT COALESCE(MAX(number), 0) + 1 FROM builds WHERE project = :numbered_in)",
        soci::use(row.project), soci::use(kQueuedState), soci::use(row.project), soci::into(queued),
        soci::into(row.number);
    if (queued >= max_queued) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, kQueueFull,
                             absl::StrCat(queued, " builds of projects/", build.project,
                                          " wait already, which is the most"));
    }
    session << absl::StrCat(
        "INSERT INTO builds (", kColumns,
        ") VALUES (:project, :number, :dataset, :dataset_digest, :impulse, :impulse_digest, "
        ":seed, :parent, :parent_digest, :request, :state, :progress, :activity, :epoch, "
        ":epochs, :metrics, :error, :model, :trainer, :trainer_digest, :log, :created, :started, "
        ":ended, :owner, :attempt, :interruptions, :waits, :lease, :not_before, :trainer_id, "
        ":history, :candidates, :traceparent)"),
        soci::use(row.project), soci::use(row.number), soci::use(row.dataset_version),
        soci::use(row.dataset_digest), soci::use(row.impulse), soci::use(row.impulse_digest),
        soci::use(row.seed), soci::use(row.parent_model), soci::use(row.parent_digest),
        soci::use(row.request_id), soci::use(row.state), soci::use(row.progress),
        soci::use(row.activity), soci::use(row.epoch), soci::use(row.epochs),
        soci::use(row.metrics), soci::use(row.error), soci::use(row.model), soci::use(row.trainer),
        soci::use(row.trainer_digest), soci::use(row.log_digest), soci::use(row.create_micros),
        soci::use(row.start_micros), soci::use(row.end_micros), soci::use(row.owner),
        soci::use(row.attempt), soci::use(row.interruptions), soci::use(row.waits),
        soci::use(row.lease_micros), soci::use(row.not_before_micros), soci::use(row.trainer_id),
        soci::use(row.history), soci::use(row.candidates), soci::use(row.traceparent);
    stored = build;
    stored.number = row.number;
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

absl::StatusOr<Build> SqlBuildStore::GetByRequest(absl::string_view project,
                                                  absl::string_view request_id) {
  std::vector<Build> found;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(
        found, SelectByRequest(session, std::string(project), std::string(request_id)));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("no build of request ", request_id));
  }
  return std::move(found.front());
}

absl::StatusOr<Build> SqlBuildStore::Get(absl::string_view project, std::int64_t number) {
  Build build;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(build, SelectOne(session, std::string(project), number));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return build;
}

absl::StatusOr<std::vector<Build>> SqlBuildStore::List(absl::string_view project,
                                                       std::int64_t before, int limit) {
  const std::string wanted(project);
  const long long below = before;
  std::vector<Build> builds;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(builds,
                               SelectColumns(session, kListColumns,
                                             "WHERE project = :project AND number < :before "
                                             "ORDER BY number DESC LIMIT :limit",
                                             wanted, below, limit));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return builds;
}

absl::StatusOr<Build> SqlBuildStore::Update(absl::string_view project, std::int64_t number,
                                            absl::FunctionRef<absl::Status(Build&)> change) {
  Build build;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(build, SelectOne(session, std::string(project), number));
    FIELDLOOP_RETURN_IF_ERROR(change(build));
    Store(session, build);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return build;
}

absl::StatusOr<std::optional<Build>> SqlBuildStore::Claim(absl::Time now,
                                                          absl::FunctionRef<void(Build&)> claim) {
  bool is_due = false;
  // Most looks find nothing, and a look must not take the write lock.
  const absl::Status looked = database_.Read([&](soci::session& session) {
    const std::vector<WaitingBuild> waiting = SelectWaiting(session, now, /*with_left=*/true);
    is_due = std::any_of(waiting.begin(), waiting.end(),
                         [now](const WaitingBuild& build) { return build.not_before <= now; });
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(looked);
  if (!is_due) {
    return std::optional<Build>();
  }
  std::optional<Build> claimed;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    claimed.reset();
    // Those that are due come first.
    const std::vector<WaitingBuild> order = SelectOrder(session, now, /*with_left=*/true);
    if (!order.empty() && order.front().not_before <= now) {
      FIELDLOOP_ASSIGN_OR_RETURN(claimed,
                                 SelectOne(session, order.front().project, order.front().number));
      claim(*claimed);
      Store(session, *claimed);
    }
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return claimed;
}

absl::StatusOr<std::vector<Build>> SqlBuildStore::ListHeld(absl::string_view owner) {
  const std::string wanted(owner);
  std::vector<Build> builds;
  const absl::Status done = database_.Read([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(builds,
                               Select(session,
                                      absl::StrCat("WHERE state >= ", kFirstRunningState,
                                                   " AND state <= ", kLastRunningState,
                                                   " AND owner = :owner ORDER BY project, number"),
                                      wanted));
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return builds;
}

absl::StatusOr<QueueState> SqlBuildStore::Queue() {
  QueueState queue;
  const absl::Status done = database_.Read([&](soci::session& session) {
    long long waiting = 0;
    long long oldest = 0;
    session << "SELECT COUNT(*), COALESCE(MIN(create_micros), 0) FROM builds WHERE state = :state",
        soci::use(kQueuedState), soci::into(waiting), soci::into(oldest);
    queue.waiting = waiting;
    queue.oldest =
        waiting > 0 ? std::optional<absl::Time>(absl::FromUnixMicros(oldest)) : std::nullopt;
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return queue;
}

absl::StatusOr<std::vector<WaitingBuild>> SqlBuildStore::Order(absl::Time now) {
  std::vector<WaitingBuild> order;
  const absl::Status done = database_.Read([&](soci::session& session) {
    order = SelectOrder(session, now, /*with_left=*/false);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return order;
}

absl::StatusOr<Model> SqlBuildStore::FinishWithModel(
    absl::string_view project, std::int64_t number, const Model& model,
    absl::FunctionRef<absl::Status(Build&)> change) {
  Model stored;
  const absl::Status done = database_.Write([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(Build build, SelectOne(session, std::string(project), number));
    FIELDLOOP_RETURN_IF_ERROR(change(build));
    stored = model;
    stored.number = InsertModel(session, model);
    build.model = stored.number;
    Store(session, build);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(done);
  return stored;
}

// NOLINTEND(google-runtime-int)

}  // namespace fieldloop::build
