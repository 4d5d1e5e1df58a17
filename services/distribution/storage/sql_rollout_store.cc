// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/storage/sql_rollout_store.h"

#include <utility>

#include <soci/soci.h>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/distribution/storage/text_encoding.h"

namespace fieldloop::distribution {
namespace {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)

// Times: Unix microseconds; 0 stands for none.
long long Micros(const std::optional<absl::Time>& time) {
  return time.has_value() ? absl::ToUnixMicros(*time) : 0;
}
std::optional<absl::Time> OptionalTime(long long micros) {
  return micros == 0 ? std::nullopt : std::optional<absl::Time>(absl::FromUnixMicros(micros));
}

struct RolloutRow {
  std::string project;
  long long number = 0;
  std::string request_id;
  std::string release_name;
  std::string target;
  std::string stages;
  double failure_percent = 0;
  int failure_count = 0;
  long long device_timeout_seconds = 0;
  int state = 0;
  std::string state_reason;
  int stage = 0;
  int target_count = 0;
  int quota = 0;
  int offered = 0;
  int confirmed = 0;
  int failed = 0;
  int missed = 0;
  std::string model;
  std::string model_digest;
  std::string components;
  long long release_sequence = 0;
  long long release_expire_micros = 0;
  std::string artifact_digests;
  std::string manifest;
  long long turn_timeout_seconds = 0;
  long long stage_open_micros = 0;
  long long stage_confirm_micros = 0;
  long long pause_micros = 0;
  long long create_micros = 0;
  long long end_micros = 0;
  long long event_count = 0;
  std::string traceparent;

  static RolloutRow From(const Rollout& rollout) {
    RolloutRow row;
    row.project = rollout.project;
    row.number = rollout.number;
    row.request_id = rollout.request_id;
    row.release_name = rollout.release;
    row.target = EncodeSelector(rollout.target);
    row.stages = EncodeStages(rollout.plan.stages);
    row.failure_percent = rollout.plan.failure_percent;
    row.failure_count = rollout.plan.failure_count;
    row.device_timeout_seconds = rollout.plan.device_timeout_seconds;
    row.state = static_cast<int>(rollout.state);
    row.state_reason = rollout.state_reason;
    row.stage = rollout.stage;
    row.target_count = rollout.target_count;
    row.quota = rollout.quota;
    row.offered = rollout.offered;
    row.confirmed = rollout.confirmed;
    row.failed = rollout.failed;
    row.missed = rollout.missed;
    row.model = rollout.model;
    row.model_digest = ModelDigestOf(rollout.components);
    row.components = EncodeComponents(rollout.components);
    row.release_sequence = static_cast<long long>(rollout.release_sequence);
    row.release_expire_micros = rollout.release_expire_time == absl::InfiniteFuture()
                                    ? 0
                                    : absl::ToUnixMicros(rollout.release_expire_time);
    row.artifact_digests = absl::StrJoin(rollout.artifact_digests, " ");
    row.manifest = absl::Base64Escape(rollout.manifest);
    row.turn_timeout_seconds =
        absl::ToInt64Seconds(absl::Ceil(rollout.turn_timeout, absl::Seconds(1)));
    row.stage_open_micros = absl::ToUnixMicros(rollout.stage_open_time);
    row.stage_confirm_micros = Micros(rollout.stage_confirm_time);
    row.pause_micros = Micros(rollout.pause_time);
    row.create_micros = absl::ToUnixMicros(rollout.create_time);
    row.end_micros = Micros(rollout.end_time);
    row.traceparent = rollout.traceparent;
    return row;
  }

  Rollout ToRollout() const {
    Rollout rollout;
    rollout.project = project;
    rollout.number = number;
    rollout.request_id = request_id;
    rollout.release = release_name;
    rollout.target = DecodeSelector(target);
    rollout.plan = {.stages = DecodeStages(stages),
                    .failure_percent = failure_percent,
                    .failure_count = failure_count,
                    .device_timeout_seconds = device_timeout_seconds};
    rollout.state = static_cast<RolloutState>(state);
    rollout.state_reason = state_reason;
    rollout.stage = stage;
    rollout.target_count = target_count;
    rollout.quota = quota;
    rollout.offered = offered;
    rollout.confirmed = confirmed;
    rollout.failed = failed;
    rollout.missed = missed;
    rollout.model = model;
    rollout.components = DecodeComponents(components);
    rollout.release_sequence = static_cast<std::uint64_t>(release_sequence);
    rollout.release_expire_time = release_expire_micros == 0
                                      ? absl::InfiniteFuture()
                                      : absl::FromUnixMicros(release_expire_micros);
    rollout.artifact_digests = absl::StrSplit(artifact_digests, ' ', absl::SkipEmpty());
    absl::Base64Unescape(manifest, &rollout.manifest);
    rollout.turn_timeout = absl::Seconds(turn_timeout_seconds);
    rollout.stage_open_time = absl::FromUnixMicros(stage_open_micros);
    rollout.stage_confirm_time = OptionalTime(stage_confirm_micros);
    rollout.pause_time = OptionalTime(pause_micros);
    rollout.create_time = absl::FromUnixMicros(create_micros);
    rollout.end_time = OptionalTime(end_micros);
    rollout.traceparent = traceparent;
    return rollout;
  }
};

struct DeviceRow {
  std::string device;
  int position = 0;
  int state = 0;
  std::string cause;
  int stage = 0;
  long long offer_micros = 0;
  long long update_micros = 0;

  static DeviceRow From(const RolloutDevice& device) {
    return {.device = device.device,
            .position = device.position,
            .state = static_cast<int>(device.state),
            .cause = device.cause,
            .stage = device.stage,
            .offer_micros = Micros(device.offer_time),
            .update_micros = absl::ToUnixMicros(device.update_time)};
  }

  RolloutDevice ToDevice() const {
    return {.device = device,
            .position = position,
            .state = static_cast<RolloutDeviceState>(state),
            .cause = cause,
            .stage = stage,
            .offer_time = OptionalTime(offer_micros),
            .update_time = absl::FromUnixMicros(update_micros)};
  }
};

constexpr char kRolloutColumns[] =
    "project, number, request_id, release_name, target, stages, failure_percent, "
    "failure_count, device_timeout_seconds, state, state_reason, stage, target_count, quota, "
    "offered, confirmed, failed, missed, model, model_digest, components, release_sequence, "
    "release_expire_micros, artifact_digests, manifest, turn_timeout_seconds, "
    "stage_open_micros, stage_confirm_micros, pause_micros, create_micros, end_micros, "
    "event_count, traceparent";
constexpr int kFirstDone = static_cast<int>(RolloutDeviceState::kConfirmed);
constexpr int kFirstOffered = static_cast<int>(RolloutDeviceState::kOffered);

// SELECTs of whole rows into `row`; bind what `where` names after them.
soci::details::prepare_temp_type SelectRollouts(soci::session& session, const std::string& where,
                                                RolloutRow& row) {
  return (session.prepare << "SELECT " << kRolloutColumns << " FROM rollouts WHERE " << where,
          soci::into(row.project), soci::into(row.number), soci::into(row.request_id),
          soci::into(row.release_name), soci::into(row.target), soci::into(row.stages),
          soci::into(row.failure_percent), soci::into(row.failure_count),
          soci::into(row.device_timeout_seconds), soci::into(row.state),
          soci::into(row.state_reason), soci::into(row.stage), soci::into(row.target_count),
          soci::into(row.quota), soci::into(row.offered), soci::into(row.confirmed),
          soci::into(row.failed), soci::into(row.missed), soci::into(row.model),
          soci::into(row.model_digest), soci::into(row.components),
          soci::into(row.release_sequence), soci::into(row.release_expire_micros),
          soci::into(row.artifact_digests), soci::into(row.manifest),
          soci::into(row.turn_timeout_seconds), soci::into(row.stage_open_micros),
          soci::into(row.stage_confirm_micros), soci::into(row.pause_micros),
          soci::into(row.create_micros), soci::into(row.end_micros), soci::into(row.event_count),
          soci::into(row.traceparent));
}

soci::details::prepare_temp_type SelectDevices(soci::session& session, const std::string& where,
                                               DeviceRow& row) {
  return (session.prepare << "SELECT device, position, state, cause, stage, offer_micros,"
                             " update_micros FROM rollout_devices WHERE project = :project AND"
                             " number = :number AND "
                          << where,
          soci::into(row.device), soci::into(row.position), soci::into(row.state),
          soci::into(row.cause), soci::into(row.stage), soci::into(row.offer_micros),
          soci::into(row.update_micros));
}

absl::Status NoRollout(const std::string& project, std::int64_t number) {
  return absl::NotFoundError(absl::StrCat("no rollout ", project, "/rollouts/", number));
}

absl::StatusOr<RolloutDevice> SelectDevice(soci::session& session, const std::string& project,
                                           long long number, const std::string& device) {
  DeviceRow row;
  soci::statement select = (SelectDevices(session, "device = :device", row), soci::use(project),
                            soci::use(number), soci::use(device));
  if (!select.execute(true)) {
    return absl::NotFoundError(absl::StrCat(device, " is not in rollout ", number));
  }
  return row.ToDevice();
}

void InsertEvents(soci::session& session, const std::string& project, long long number,
                  long long last, const std::vector<RolloutEvent>& events) {
  for (const RolloutEvent& event : events) {
    ++last;
    const long long create_micros = absl::ToUnixMicros(event.create_time);
    const std::string sequence =
        event.report_sequence.has_value() ? absl::StrCat(*event.report_sequence) : "";
    session << "INSERT INTO rollout_events (project, number, event, create_micros, kind, device,"
               " detail, stage, offered, quota, author, report_sequence) VALUES (:project, :number,"
               " :event, :created, :kind, :device, :detail, :stage, :offered, :quota, :author,"
               " :sequence)",
        soci::use(project), soci::use(number), soci::use(last), soci::use(create_micros),
        soci::use(event.kind), soci::use(event.device), soci::use(event.detail),
        soci::use(event.stage), soci::use(event.offered), soci::use(event.quota),
        soci::use(event.author), soci::use(sequence);
  }
}

class SqlRolloutEdit final : public RolloutEdit {
 public:
  SqlRolloutEdit(soci::session& session, const RolloutRow& row)
      : session_(session), project_(row.project), number_(row.number) {
    rollout = row.ToRollout();
  }

  absl::StatusOr<RolloutDevice> Device(const std::string& device) override {
    return SelectDevice(session_, project_, number_, device);
  }

  absl::StatusOr<std::vector<RolloutDevice>> OpenOffersUntil(absl::Time time) override {
    const long long until = absl::ToUnixMicros(time);
    DeviceRow row;
    soci::statement select =
        (SelectDevices(session_, "state >= :first AND state < :done AND offer_micros <= :until",
                       row),
         soci::use(project_), soci::use(number_), soci::use(kFirstOffered), soci::use(kFirstDone),
         soci::use(until));
    return Fetch(select, row);
  }

  absl::StatusOr<std::vector<RolloutDevice>> Pending() override {
    DeviceRow row;
    soci::statement select = (SelectDevices(session_, "state < :first ORDER BY position", row),
                              soci::use(project_), soci::use(number_), soci::use(kFirstOffered));
    return Fetch(select, row);
  }

  absl::StatusOr<bool> HasReport(const std::string& device, std::uint64_t sequence) override {
    const std::string text = absl::StrCat(sequence);
    int count = 0;
    session_ << "SELECT COUNT(*) FROM rollout_events WHERE project = :project AND"
                " number = :number AND device = :device AND report_sequence = :sequence",
        soci::use(project_), soci::use(number_), soci::use(device), soci::use(text),
        soci::into(count);
    return count > 0;
  }

 private:
  static std::vector<RolloutDevice> Fetch(soci::statement& select, const DeviceRow& row) {
    std::vector<RolloutDevice> devices;
    select.execute();
    while (select.fetch()) {
      devices.push_back(row.ToDevice());
    }
    return devices;
  }

  soci::session& session_;
  const std::string project_;
  const long long number_;
};

class SqlRolloutStore final : public RolloutStore {
 public:
  SqlRolloutStore(Database& database, GroupCommit& commits)
      : database_(database), commits_(commits) {}

  absl::StatusOr<Rollout> Create(const std::string& project, const std::string& request_id,
                                 absl::FunctionRef<NewRollout(std::int64_t)> make) override {
    Rollout created;
    FIELDLOOP_RETURN_IF_ERROR(commits_.Write([&](soci::session& session) -> absl::Status {
      if (const std::optional<Rollout> before = SelectByRequest(session, project, request_id);
          before.has_value()) {
        created = *before;
        return absl::OkStatus();
      }
      if (const std::optional<Rollout> active = SelectActive(session, project);
          active.has_value()) {
        return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "ROLLOUT_ACTIVE",
                               absl::StrCat(project, "/rollouts/", active->number, " is not done"));
      }
      long long last = 0;
      session << "SELECT MAX(given) FROM (SELECT value AS given FROM number_floor UNION ALL "
                 "SELECT number FROM rollouts WHERE project = :project) AS numbers",
          soci::use(project), soci::into(last);
      NewRollout fresh = make(last + 1);
      created = fresh.rollout;
      Insert(session, fresh);
      return absl::OkStatus();
    }));
    return created;
  }

  absl::StatusOr<Rollout> Change(const std::string& project, std::int64_t number,
                                 absl::FunctionRef<absl::Status(RolloutEdit&)> body) override {
    Rollout result;
    FIELDLOOP_RETURN_IF_ERROR(commits_.Write([&](soci::session& session) -> absl::Status {
      const long long wanted = number;
      RolloutRow row;
      soci::statement select =
          (SelectRollouts(session, "project = :project AND number = :number", row),
           soci::use(project), soci::use(wanted));
      if (!select.execute(true)) {
        return NoRollout(project, number);
      }
      SqlRolloutEdit edit(session, row);
      const Rollout before = edit.rollout;
      if (absl::Status status = body(edit); !status.ok()) {
        return status;
      }
      result = edit.rollout;
      if (edit.changed.empty() && edit.events.empty() && edit.rollout == before) {
        return absl::OkStatus();
      }
      Write(session, edit, row);
      return absl::OkStatus();
    }));
    return result;
  }

  absl::StatusOr<Rollout> Get(const std::string& project, std::int64_t number) override {
    absl::StatusOr<Rollout> rollout = NoRollout(project, number);
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      const long long wanted = number;
      RolloutRow row;
      soci::statement select =
          (SelectRollouts(session, "project = :project AND number = :number", row),
           soci::use(project), soci::use(wanted));
      if (select.execute(true)) {
        rollout = row.ToRollout();
      }
      return absl::OkStatus();
    }));
    return rollout;
  }

  absl::StatusOr<std::optional<Rollout>> FindByRequest(const std::string& project,
                                                       const std::string& request_id) override {
    std::optional<Rollout> rollout;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      rollout = SelectByRequest(session, project, request_id);
      return absl::OkStatus();
    }));
    return rollout;
  }

  absl::StatusOr<std::optional<Rollout>> FindActive(const std::string& project) override {
    std::optional<Rollout> rollout;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      rollout = SelectActive(session, project);
      return absl::OkStatus();
    }));
    return rollout;
  }

  absl::StatusOr<std::vector<Rollout>> ListActive() override {
    std::vector<Rollout> rollouts;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      rollouts.clear();
      RolloutRow row;
      soci::statement select(SelectRollouts(session, "state IN (1, 2) ORDER BY project", row));
      select.execute();
      while (select.fetch()) {
        rollouts.push_back(row.ToRollout());
      }
      return absl::OkStatus();
    }));
    return rollouts;
  }

  absl::StatusOr<std::map<RolloutState, std::int64_t>> CountByState() override {
    std::map<RolloutState, std::int64_t> counts;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      counts.clear();
      int state = 0;
      long long count = 0;
      soci::statement select =
          (session.prepare << "SELECT state, COUNT(*) FROM rollouts GROUP BY state",
           soci::into(state), soci::into(count));
      select.execute();
      while (select.fetch()) {
        counts[static_cast<RolloutState>(state)] = count;
      }
      return absl::OkStatus();
    }));
    return counts;
  }

  absl::StatusOr<RolloutDevice> GetDevice(const std::string& project, std::int64_t number,
                                          const std::string& device) override {
    absl::StatusOr<RolloutDevice> found = absl::NotFoundError("");
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      found = SelectDevice(session, project, number, device);
      return absl::OkStatus();
    }));
    return found;
  }

  absl::StatusOr<std::vector<Rollout>> List(const std::string& project, std::int64_t before,
                                            int limit) override {
    std::vector<Rollout> rollouts;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      rollouts.clear();
      const long long below = before;
      RolloutRow row;
      soci::statement select = (SelectRollouts(session,
                                               "project = :project AND number < :before"
                                               " ORDER BY number DESC LIMIT :limit",
                                               row),
                                soci::use(project), soci::use(below), soci::use(limit));
      select.execute();
      while (select.fetch()) {
        rollouts.push_back(row.ToRollout());
      }
      return absl::OkStatus();
    }));
    return rollouts;
  }

  absl::StatusOr<std::vector<RolloutDevice>> ListDevices(const std::string& project,
                                                         std::int64_t number,
                                                         const std::string& after,
                                                         int limit) override {
    std::vector<RolloutDevice> devices;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      devices.clear();
      const long long wanted = number;
      DeviceRow row;
      soci::statement select =
          (SelectDevices(session, "device > :after ORDER BY device LIMIT :limit", row),
           soci::use(project), soci::use(wanted), soci::use(after), soci::use(limit));
      select.execute();
      while (select.fetch()) {
        devices.push_back(row.ToDevice());
      }
      return absl::OkStatus();
    }));
    return devices;
  }

  absl::StatusOr<std::vector<RolloutEvent>> ListEvents(const std::string& project,
                                                       std::int64_t number, std::int64_t after,
                                                       int limit) override {
    std::vector<RolloutEvent> events;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      events.clear();
      const long long wanted = number;
      const long long above = after;
      RolloutEvent event;
      long long create_micros = 0;
      std::string sequence;
      soci::statement select =
          (session.prepare << "SELECT create_micros, kind, device, detail, stage, offered, quota,"
                              " author, report_sequence FROM rollout_events WHERE"
                              " project = :project AND number = :number AND event > :after"
                              " ORDER BY event LIMIT :limit",
           soci::use(project), soci::use(wanted), soci::use(above), soci::use(limit),
           soci::into(create_micros), soci::into(event.kind), soci::into(event.device),
           soci::into(event.detail), soci::into(event.stage), soci::into(event.offered),
           soci::into(event.quota), soci::into(event.author), soci::into(sequence));
      select.execute();
      while (select.fetch()) {
        event.create_time = absl::FromUnixMicros(create_micros);
        std::uint64_t value = 0;
        event.report_sequence =
            absl::SimpleAtoi(sequence, &value) ? std::optional<std::uint64_t>(value) : std::nullopt;
        events.push_back(event);
      }
      return absl::OkStatus();
    }));
    return events;
  }

 private:
  static std::optional<Rollout> SelectActive(soci::session& session, const std::string& project) {
    RolloutRow row;
    soci::statement select =
        (SelectRollouts(session, "project = :project AND state IN (1, 2)", row),
         soci::use(project));
    return select.execute(true) ? std::optional<Rollout>(row.ToRollout()) : std::nullopt;
  }

  static std::optional<Rollout> SelectByRequest(soci::session& session, const std::string& project,
                                                const std::string& request_id) {
    if (request_id.empty()) {
      return std::nullopt;
    }
    RolloutRow row;
    soci::statement select =
        (SelectRollouts(session, "project = :project AND request_id = :request", row),
         soci::use(project), soci::use(request_id));
    return select.execute(true) ? std::optional<Rollout>(row.ToRollout()) : std::nullopt;
  }

  static void Insert(soci::session& session, const NewRollout& fresh) {
    RolloutRow row = RolloutRow::From(fresh.rollout);
    row.event_count = static_cast<long long>(fresh.events.size());
    session << "INSERT INTO rollouts (" << kRolloutColumns
            << ") VALUES ("
               ":project, :number, :request_id, :release_name, :target, :stages, "
               ":failure_percent, :failure_count, :device_timeout_seconds, :state, "
               ":state_reason, :stage, :target_count, :quota, :offered, :confirmed, :failed, "
               ":missed, :model, :model_digest, :components, :release_sequence, "
               ":release_expire_micros, "
               ":artifact_digests, :manifest, :turn_timeout_seconds, :stage_open_micros, "
               ":stage_confirm_micros, :pause_micros, :create_micros, :end_micros, "
               ":event_count, :traceparent"
               ")",
        soci::use(row.project), soci::use(row.number), soci::use(row.request_id),
        soci::use(row.release_name), soci::use(row.target), soci::use(row.stages),
        soci::use(row.failure_percent), soci::use(row.failure_count),
        soci::use(row.device_timeout_seconds), soci::use(row.state), soci::use(row.state_reason),
        soci::use(row.stage), soci::use(row.target_count), soci::use(row.quota),
        soci::use(row.offered), soci::use(row.confirmed), soci::use(row.failed),
        soci::use(row.missed), soci::use(row.model), soci::use(row.model_digest),
        soci::use(row.components), soci::use(row.release_sequence),
        soci::use(row.release_expire_micros), soci::use(row.artifact_digests),
        soci::use(row.manifest), soci::use(row.turn_timeout_seconds),
        soci::use(row.stage_open_micros), soci::use(row.stage_confirm_micros),
        soci::use(row.pause_micros), soci::use(row.create_micros), soci::use(row.end_micros),
        soci::use(row.event_count), soci::use(row.traceparent);
    DeviceRow device;
    soci::statement insert =
        (session.prepare << "INSERT INTO rollout_devices (project, number, device, position, state,"
                            " cause, stage, offer_micros, update_micros) VALUES (:project, :number,"
                            " :device, :position, :state, :cause, :stage, :offered, :updated)",
         soci::use(row.project), soci::use(row.number), soci::use(device.device),
         soci::use(device.position), soci::use(device.state), soci::use(device.cause),
         soci::use(device.stage), soci::use(device.offer_micros), soci::use(device.update_micros));
    for (const RolloutDevice& one : fresh.devices) {
      device = DeviceRow::From(one);
      insert.execute(true);
    }
    InsertEvents(session, row.project, row.number, 0, fresh.events);
  }

  static void Write(soci::session& session, const SqlRolloutEdit& edit, const RolloutRow& before) {
    RolloutRow row = RolloutRow::From(edit.rollout);
    row.event_count = before.event_count + static_cast<long long>(edit.events.size());
    session << "UPDATE rollouts SET "
               "state = :state, state_reason = :state_reason, stage = :stage, "
               "quota = :quota, offered = :offered, confirmed = :confirmed, "
               "failed = :failed, missed = :missed, "
               "stage_open_micros = :stage_open_micros, "
               "stage_confirm_micros = :stage_confirm_micros, "
               "pause_micros = :pause_micros, end_micros = :end_micros, "
               "event_count = :event_count"
               " WHERE project = :project AND number = :number",
        soci::use(row.state), soci::use(row.state_reason), soci::use(row.stage),
        soci::use(row.quota), soci::use(row.offered), soci::use(row.confirmed),
        soci::use(row.failed), soci::use(row.missed), soci::use(row.stage_open_micros),
        soci::use(row.stage_confirm_micros), soci::use(row.pause_micros), soci::use(row.end_micros),
        soci::use(row.event_count), soci::use(row.project), soci::use(row.number);
    DeviceRow device;
    soci::statement update =
        (session.prepare << "UPDATE rollout_devices SET state = :state, cause = :cause,"
                            " stage = :stage, offer_micros = :offered, update_micros = :updated"
                            " WHERE project = :project AND number = :number AND device = :device",
         soci::use(device.state), soci::use(device.cause), soci::use(device.stage),
         soci::use(device.offer_micros), soci::use(device.update_micros), soci::use(row.project),
         soci::use(row.number), soci::use(device.device));
    for (const RolloutDevice& one : edit.changed) {
      device = DeviceRow::From(one);
      update.execute(true);
    }
    InsertEvents(session, row.project, row.number, before.event_count, edit.events);
  }

  Database& database_;
  GroupCommit& commits_;
};
// NOLINTEND(google-runtime-int)

}  // namespace

std::unique_ptr<RolloutStore> MakeSqlRolloutStore(Database& database, GroupCommit& commits) {
  return std::make_unique<SqlRolloutStore>(database, commits);
}

}  // namespace fieldloop::distribution
