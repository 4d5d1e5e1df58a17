// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <soci/soci.h>

#include "services/common/status/status_macros.h"
#include "services/evaluation/storage/codec.h"
#include "services/evaluation/storage/sql_stores.h"
#include "services/evaluation/storage/sql_text.h"

namespace fieldloop::evaluation {
namespace {

absl::Status SelectTransitions(soci::session& session, Cycle& cycle) {
  const long long number = cycle.number;
  long long from = 0;
  long long to = 0;
  long long micros = 0;
  std::string author;
  std::string reason;
  std::string evidence;
  soci::statement statement =
      (session.prepare << "SELECT from_state, to_state, create_micros, author, reason, evidence "
                          "FROM cycle_transitions WHERE project = :project AND number = :number "
                          "ORDER BY step",
       soci::use(cycle.project, "project"), soci::use(number, "number"), soci::into(from),
       soci::into(to), soci::into(micros), soci::into(author), soci::into(reason),
       soci::into(evidence));
  statement.execute();
  cycle.transitions.clear();
  while (statement.fetch()) {
    Transition transition;
    transition.from = static_cast<CycleState>(from);
    transition.to = static_cast<CycleState>(to);
    transition.create_time = FromMicros(micros);
    transition.author = author;
    transition.reason = reason;
    FIELDLOOP_RETURN_IF_ERROR(DecodeMap(evidence, transition.evidence));
    cycle.transitions.push_back(std::move(transition));
  }
  return absl::OkStatus();
}

absl::StatusOr<Cycle> Select(soci::session& session, const std::string& project, long long number) {
  long long revision = 0;
  long long state = 0;
  long long clean_up = 0;
  std::string body;
  long long create_micros = 0;
  long long end_micros = 0;
  session << "SELECT revision, state, clean_up, body, create_micros, end_micros FROM cycles WHERE "
             "project = :project AND number = :number",
      soci::use(project, "project"), soci::use(number, "number"), soci::into(revision),
      soci::into(state), soci::into(clean_up), soci::into(body), soci::into(create_micros),
      soci::into(end_micros);
  if (!session.got_data()) {
    return absl::NotFoundError(absl::StrCat(project, "/cycles/", number, " is not there"));
  }
  Cycle cycle;
  cycle.project = project;
  cycle.number = number;
  cycle.revision = revision;
  cycle.state = static_cast<CycleState>(state);
  cycle.clean_up = clean_up != 0;
  cycle.create_time = FromMicros(create_micros);
  cycle.end_time = FromMicros(end_micros);
  FIELDLOOP_RETURN_IF_ERROR(DecodeCycle(body, cycle));
  FIELDLOOP_RETURN_IF_ERROR(SelectTransitions(session, cycle));
  return cycle;
}

std::optional<long long> SelectActive(soci::session& session, const std::string& project) {
  long long number = 0;
  session << "SELECT number FROM active_cycles WHERE project = :project",
      soci::use(project, "project"), soci::into(number);
  return session.got_data() ? std::optional<long long>(number) : std::nullopt;
}

void InsertTransitions(soci::session& session, const Cycle& cycle, std::size_t known) {
  const long long number = cycle.number;
  for (std::size_t i = known; i < cycle.transitions.size(); ++i) {
    const Transition& transition = cycle.transitions[i];
    const long long step = static_cast<long long>(i);
    const long long from = static_cast<long long>(transition.from);
    const long long to = static_cast<long long>(transition.to);
    const long long micros = ToMicros(transition.create_time);
    const std::string evidence = EncodeMap(transition.evidence);
    session << "INSERT INTO cycle_transitions (project, number, step, from_state, to_state, "
               "create_micros, author, reason, evidence) VALUES (:project, :number, :step, :from, "
               ":to, :created, :author, :reason, :evidence)",
        soci::use(cycle.project, "project"), soci::use(number, "number"), soci::use(step, "step"),
        soci::use(from, "from"), soci::use(to, "to"), soci::use(micros, "created"),
        soci::use(transition.author, "author"), soci::use(transition.reason, "reason"),
        soci::use(evidence, "evidence");
  }
}

}  // namespace

absl::StatusOr<Cycle> SqlCycleStore::EnsureActive(const std::string& project, int policy_version,
                                                  absl::Time now) {
  Cycle stored;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    if (const std::optional<long long> active = SelectActive(session, project)) {
      FIELDLOOP_ASSIGN_OR_RETURN(stored, Select(session, project, *active));
      return absl::OkStatus();
    }
    long long number = 0;
    session << "SELECT COALESCE(MAX(number), 0) + 1 FROM cycles WHERE project = :project",
        soci::use(project, "project"), soci::into(number);
    Cycle fresh;
    fresh.policy_version = policy_version;
    const std::string body = EncodeCycle(fresh);
    const long long state = static_cast<long long>(CycleState::kObserving);
    const long long micros = ToMicros(now);
    session << "INSERT INTO cycles (project, number, revision, state, clean_up, body, "
               "create_micros, end_micros) VALUES (:project, :number, 1, :state, 0, :body, "
               ":created, 0)",
        soci::use(project, "project"), soci::use(number, "number"), soci::use(state, "state"),
        soci::use(body, "body"), soci::use(micros, "created");
    session << "INSERT INTO active_cycles (project, number) VALUES (:project, :number)",
        soci::use(project, "project"), soci::use(number, "number");
    FIELDLOOP_ASSIGN_OR_RETURN(stored, Select(session, project, number));
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<Cycle> SqlCycleStore::Get(const std::string& project, std::int64_t number) {
  absl::StatusOr<Cycle> found = absl::InternalError("not read");
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    found = Select(session, project, number);
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::optional<Cycle>> SqlCycleStore::Active(const std::string& project) {
  std::optional<Cycle> found;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    found.reset();
    if (const std::optional<long long> active = SelectActive(session, project)) {
      FIELDLOOP_ASSIGN_OR_RETURN(found, Select(session, project, *active));
    }
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::optional<Cycle>> SqlCycleStore::FindByRequest(const std::string& project,
                                                                  const std::string& request_id) {
  std::optional<Cycle> found;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    long long number = 0;
    session << "SELECT number FROM request_ids WHERE kind = 'cycle' AND project = :project AND "
               "request_id = :id",
        soci::use(project, "project"), soci::use(request_id, "id"), soci::into(number);
    found.reset();
    if (session.got_data()) {
      FIELDLOOP_ASSIGN_OR_RETURN(found, Select(session, project, number));
    }
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<Page<Cycle>> SqlCycleStore::List(const std::string& project, int page_size,
                                                const std::string& page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const long long below, BelowNumber(page_token));
  Page<Cycle> page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    std::vector<long long> numbers;
    {
      const long long limit = static_cast<long long>(page_size) + 1;
      long long number = 0;
      soci::statement statement =
          (session.prepare << "SELECT number FROM cycles WHERE project = :project AND number < "
                              ":below ORDER BY number DESC LIMIT :limit",
           soci::use(project, "project"), soci::use(below, "below"), soci::use(limit, "limit"),
           soci::into(number));
      statement.execute();
      while (statement.fetch()) {
        numbers.push_back(number);
      }
    }
    page = {};
    for (const long long number : numbers) {
      if (page.rows.size() == static_cast<std::size_t>(page_size)) {
        page.next_page_token = absl::StrCat(page.rows.back().number);
        break;
      }
      FIELDLOOP_ASSIGN_OR_RETURN(Cycle cycle, Select(session, project, number));
      page.rows.push_back(std::move(cycle));
    }
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<Cycle> SqlCycleStore::Update(const std::string& project, std::int64_t number,
                                            absl::FunctionRef<absl::Status(Cycle&)> change) {
  Cycle stored;
  const absl::Status written = database_.Write([&](soci::session& session) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const Cycle before, Select(session, project, number));
    Cycle after = before;
    FIELDLOOP_RETURN_IF_ERROR(change(after));
    after.revision = before.revision + 1;
    const long long key = number;
    const long long revision = after.revision;
    const long long state = static_cast<long long>(after.state);
    const long long clean_up = after.clean_up ? 1 : 0;
    const std::string body = EncodeCycle(after);
    const long long end_micros = ToMicros(after.end_time);
    session << "UPDATE cycles SET revision = :revision, state = :state, clean_up = :clean, body = "
               ":body, end_micros = :ended WHERE project = :project AND number = :number",
        soci::use(revision, "revision"), soci::use(state, "state"), soci::use(clean_up, "clean"),
        soci::use(body, "body"), soci::use(end_micros, "ended"), soci::use(project, "project"),
        soci::use(key, "number");
    InsertTransitions(session, after, before.transitions.size());
    if (!after.request_id.empty() && before.request_id.empty()) {
      session << "INSERT INTO request_ids (kind, project, request_id, number) VALUES ('cycle', "
                 ":project, :id, :number)",
          soci::use(project, "project"), soci::use(after.request_id, "id"),
          soci::use(key, "number");
    }
    if (IsFinal(after.state)) {
      session << "DELETE FROM active_cycles WHERE project = :project AND number = :number",
          soci::use(project, "project"), soci::use(key, "number");
    }
    stored = std::move(after);
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(written);
  return stored;
}

absl::StatusOr<std::vector<CycleWork>> SqlCycleStore::ListWork() {
  std::vector<CycleWork> work;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    std::string project;
    long long number = 0;
    long long state = 0;
    soci::statement statement =
        (session.prepare << "SELECT project, number, state FROM cycles WHERE state < 8 OR clean_up "
                            "= 1 ORDER BY project, number",
         soci::into(project), soci::into(number), soci::into(state));
    statement.execute();
    work.clear();
    while (statement.fetch()) {
      work.push_back(
          {.project = project, .number = number, .state = static_cast<CycleState>(state)});
    }
    return absl::OkStatus();
  }));
  return work;
}

absl::StatusOr<std::vector<std::pair<std::string, int>>> SqlCycleStore::ListIdleProjects() {
  std::vector<std::pair<std::string, int>> idle;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    std::string project;
    long long version = 0;
    soci::statement statement =
        (session.prepare << "SELECT p.project, MAX(p.version) FROM policies p WHERE NOT EXISTS "
                            "(SELECT 1 FROM active_cycles a WHERE a.project = p.project) GROUP BY "
                            "p.project ORDER BY p.project",
         soci::into(project), soci::into(version));
    statement.execute();
    idle.clear();
    while (statement.fetch()) {
      idle.emplace_back(project, static_cast<int>(version));
    }
    return absl::OkStatus();
  }));
  return idle;
}

absl::StatusOr<std::map<CycleState, std::int64_t>> SqlCycleStore::CountByState() {
  std::map<CycleState, std::int64_t> counts;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    long long state = 0;
    long long count = 0;
    soci::statement statement =
        (session.prepare << "SELECT state, COUNT(*) FROM cycles GROUP BY state", soci::into(state),
         soci::into(count));
    statement.execute();
    counts.clear();
    while (statement.fetch()) {
      counts[static_cast<CycleState>(state)] = count;
    }
    return absl::OkStatus();
  }));
  return counts;
}

}  // namespace fieldloop::evaluation
