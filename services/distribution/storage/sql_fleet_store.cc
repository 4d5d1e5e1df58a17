// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/storage/sql_fleet_store.h"

#include <algorithm>
#include <utility>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/distribution/storage/text_encoding.h"

namespace fieldloop::distribution {
namespace {

// SOCI 4.0 binds long long, not std::int64_t. NOLINTBEGIN(google-runtime-int)
bool IsModel(const ComponentState& component) { return component.kind == ComponentKind::kModel; }

struct StateRow {
  std::string device;
  std::string project;
  std::string model_digest;
  int confirmed = 0;
  long long release_sequence = 0;
  std::string hardware_id;
  std::string agent_version;
  long long boot_count = 0;
  long long dropped_uplinks = 0;
  long long last_seen_micros = 0;
  long long connected_until_micros = 0;
  std::string components;

  static StateRow From(const DeviceState& state) {
    // The model has columns of its own: devices are found by it.
    const ComponentState model = Find(state.components, ComponentKind::kModel);
    std::vector<ComponentState> others = state.components;
    others.erase(std::remove_if(others.begin(), others.end(), IsModel), others.end());
    return {.device = state.device,
            .project = ProjectOf(state.device),
            .model_digest = model.digest,
            .confirmed = model.confirmed ? 1 : 0,
            .release_sequence = static_cast<long long>(model.release_sequence),
            .hardware_id = state.hardware_id,
            .agent_version = state.agent_version,
            .boot_count = state.boot_count,
            .dropped_uplinks = state.dropped_uplinks,
            .last_seen_micros = absl::ToUnixMicros(state.last_seen_time),
            .connected_until_micros = absl::ToUnixMicros(state.connected_until),
            .components = EncodeComponentStates(others)};
  }

  DeviceState ToState() const {
    std::vector<ComponentState> all = DecodeComponentStates(components);
    if (!model_digest.empty()) {
      all.insert(all.begin(), {.kind = ComponentKind::kModel,
                               .digest = model_digest,
                               .confirmed = confirmed != 0,
                               .release_sequence = static_cast<std::uint64_t>(release_sequence)});
    }
    return {.device = device,
            .components = std::move(all),
            .hardware_id = hardware_id,
            .agent_version = agent_version,
            .boot_count = boot_count,
            .dropped_uplinks = dropped_uplinks,
            .last_seen_time = absl::FromUnixMicros(last_seen_micros),
            .connected_until = absl::FromUnixMicros(connected_until_micros)};
  }
};

struct SettingsRow {
  int version = 0;
  int plan_id = 0;
  double check_in_seconds = 0;
  int sketch_period_seconds = 0;
  int trial_windows = 0;
  int trial_timeout_seconds = 0;
  int has_collection = 0;
  std::string collection_target;
  int samples_per_period = 0;
  double random_share = 0;
  int samples_total = 0;

  static SettingsRow From(const FleetSettings& settings) {
    SettingsRow row;
    row.version = settings.version;
    row.plan_id = settings.plan_id;
    row.check_in_seconds = settings.check_in_seconds;
    row.sketch_period_seconds = settings.sketch_period_seconds;
    row.trial_windows = settings.trial_windows;
    row.trial_timeout_seconds = settings.trial_timeout_seconds;
    row.has_collection = settings.collection.has_value() ? 1 : 0;
    if (settings.collection.has_value()) {
      row.collection_target = EncodeSelector(settings.collection->target);
      row.samples_per_period = settings.collection->samples_per_period;
      row.random_share = settings.collection->random_share;
      row.samples_total = settings.collection->samples_total;
    }
    return row;
  }

  FleetSettings ToSettings() const {
    FleetSettings settings{.check_in_seconds = check_in_seconds,
                           .sketch_period_seconds = sketch_period_seconds,
                           .collection = std::nullopt,
                           .trial_windows = trial_windows,
                           .trial_timeout_seconds = trial_timeout_seconds,
                           .version = version,
                           .plan_id = plan_id};
    if (has_collection != 0) {
      settings.collection = Collection{.target = DecodeSelector(collection_target),
                                       .samples_per_period = samples_per_period,
                                       .random_share = random_share,
                                       .samples_total = samples_total};
    }
    return settings;
  }
};
// NOLINTEND(google-runtime-int)

constexpr char kStateColumns[] =
    "device, project, model_digest, confirmed, release_sequence, hardware_id, agent_version,"
    " boot_count, dropped_uplinks, last_seen_micros, connected_until_micros, components";

class SqlFleetStore final : public FleetStore {
 public:
  SqlFleetStore(Database& database, GroupCommit& commits)
      : database_(database), commits_(commits) {}

  absl::Status PutState(const DeviceState& state) override {
    const StateRow row = StateRow::From(state);
    return commits_.Write([&](soci::session& session) {
      session << "INSERT INTO device_states (" << kStateColumns
              << ") VALUES (:device, :project, :model, :confirmed, :sequence, :hardware, :agent,"
                 " :boots, :dropped, :seen, :until, :components) ON CONFLICT (device) DO UPDATE SET"
                 " model_digest = excluded.model_digest, confirmed = excluded.confirmed,"
                 " release_sequence = excluded.release_sequence,"
                 " hardware_id = excluded.hardware_id, agent_version = excluded.agent_version,"
                 " boot_count = excluded.boot_count, dropped_uplinks = excluded.dropped_uplinks,"
                 " last_seen_micros = excluded.last_seen_micros,"
                 " connected_until_micros = excluded.connected_until_micros,"
                 " components = excluded.components",
          soci::use(row.device), soci::use(row.project), soci::use(row.model_digest),
          soci::use(row.confirmed), soci::use(row.release_sequence), soci::use(row.hardware_id),
          soci::use(row.agent_version), soci::use(row.boot_count), soci::use(row.dropped_uplinks),
          soci::use(row.last_seen_micros), soci::use(row.connected_until_micros),
          soci::use(row.components);
      return absl::OkStatus();
    });
  }

  absl::Status PutPresence(const std::vector<Presence>& presence) override {
    return commits_.Write([&](soci::session& session) {
      std::string device;
      long long seen = 0;   // NOLINT(google-runtime-int)
      long long until = 0;  // NOLINT(google-runtime-int)
      soci::statement update =
          (session.prepare << "UPDATE device_states SET last_seen_micros = :seen,"
                              " connected_until_micros = :until WHERE device = :device"
                              " AND last_seen_micros <= :heard",
           soci::use(seen), soci::use(until), soci::use(device), soci::use(seen));
      for (const Presence& one : presence) {
        device = one.device;
        seen = absl::ToUnixMicros(one.last_seen_time);
        until = absl::ToUnixMicros(one.connected_until);
        update.execute(true);
      }
      return absl::OkStatus();
    });
  }

  absl::StatusOr<DeviceState> GetState(const std::string& device) override {
    absl::StatusOr<DeviceState> state = absl::NotFoundError("");
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      StateRow row;
      soci::statement select = (Select(session, "device = :device", row), soci::use(device));
      if (select.execute(true)) {
        state = row.ToState();
      } else {
        state = absl::NotFoundError(absl::StrCat(device, " has not reported yet"));
      }
      return absl::OkStatus();
    }));
    return state;
  }

  absl::StatusOr<std::vector<DeviceState>> ListStates(const std::string& project,
                                                      const std::string& model_digest,
                                                      const std::string& after,
                                                      int limit) override {
    std::vector<DeviceState> states;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      states.clear();
      StateRow row;
      const std::string page = "device > :after ORDER BY device LIMIT :limit";
      soci::statement select =
          model_digest.empty()
              ? soci::statement((Select(session, "project = :project AND " + page, row),
                                 soci::use(project), soci::use(after), soci::use(limit)))
              : soci::statement(
                    (Select(session, "project = :project AND model_digest = :digest AND " + page,
                            row),
                     soci::use(project), soci::use(model_digest), soci::use(after),
                     soci::use(limit)));
      select.execute();
      while (select.fetch()) {
        states.push_back(row.ToState());
      }
      return absl::OkStatus();
    }));
    return states;
  }

  absl::StatusOr<std::optional<FleetSettings>> GetSettings(const std::string& project) override {
    std::optional<FleetSettings> settings;
    FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
      settings = Select(session, project);
      return absl::OkStatus();
    }));
    return settings;
  }

  absl::StatusOr<FleetSettings> ChangeSettings(
      const std::string& project, const FleetSettings& initial,
      absl::FunctionRef<void(FleetSettings&)> change) override {
    FleetSettings settings;
    FIELDLOOP_RETURN_IF_ERROR(commits_.Write([&](soci::session& session) {
      const std::optional<FleetSettings> stored = Select(session, project);
      settings = stored.value_or(initial);
      if (!stored.has_value()) {
        int floor = 0;
        session << "SELECT value FROM number_floor", soci::into(floor);
        settings.version += floor;
        settings.plan_id += floor;
      }
      change(settings);
      const SettingsRow row = SettingsRow::From(settings);
      session << "INSERT INTO fleet_settings (project, version, plan_id, check_in_seconds,"
                 " sketch_period_seconds, trial_windows, trial_timeout_seconds, has_collection,"
                 " collection_target, samples_per_period, random_share, samples_total)"
                 " VALUES (:project, :version, :plan, :check_in, :sketch, :windows, :timeout, :has,"
                 " :target, :samples, :random, :total) ON CONFLICT (project) DO UPDATE SET"
                 " version = excluded.version, plan_id = excluded.plan_id,"
                 " check_in_seconds = excluded.check_in_seconds,"
                 " sketch_period_seconds = excluded.sketch_period_seconds,"
                 " trial_windows = excluded.trial_windows,"
                 " trial_timeout_seconds = excluded.trial_timeout_seconds,"
                 " has_collection = excluded.has_collection,"
                 " collection_target = excluded.collection_target,"
                 " samples_per_period = excluded.samples_per_period,"
                 " random_share = excluded.random_share, samples_total = excluded.samples_total",
          soci::use(project), soci::use(row.version), soci::use(row.plan_id),
          soci::use(row.check_in_seconds), soci::use(row.sketch_period_seconds),
          soci::use(row.trial_windows), soci::use(row.trial_timeout_seconds),
          soci::use(row.has_collection), soci::use(row.collection_target),
          soci::use(row.samples_per_period), soci::use(row.random_share),
          soci::use(row.samples_total);
      return absl::OkStatus();
    }));
    return settings;
  }

 private:
  // SELECT of whole rows into `row`; bind what `where` names after it.
  static soci::details::prepare_temp_type Select(soci::session& session, const std::string& where,
                                                 StateRow& row) {
    return (session.prepare << "SELECT " << kStateColumns << " FROM device_states WHERE " << where,
            soci::into(row.device), soci::into(row.project), soci::into(row.model_digest),
            soci::into(row.confirmed), soci::into(row.release_sequence),
            soci::into(row.hardware_id), soci::into(row.agent_version), soci::into(row.boot_count),
            soci::into(row.dropped_uplinks), soci::into(row.last_seen_micros),
            soci::into(row.connected_until_micros), soci::into(row.components));
  }

  static std::optional<FleetSettings> Select(soci::session& session, const std::string& project) {
    SettingsRow row;
    session << "SELECT version, plan_id, check_in_seconds, sketch_period_seconds, trial_windows,"
               " trial_timeout_seconds, has_collection, collection_target, samples_per_period,"
               " random_share, samples_total FROM fleet_settings WHERE project = :project",
        soci::use(project), soci::into(row.version), soci::into(row.plan_id),
        soci::into(row.check_in_seconds), soci::into(row.sketch_period_seconds),
        soci::into(row.trial_windows), soci::into(row.trial_timeout_seconds),
        soci::into(row.has_collection), soci::into(row.collection_target),
        soci::into(row.samples_per_period), soci::into(row.random_share),
        soci::into(row.samples_total);
    return session.got_data() ? std::optional<FleetSettings>(row.ToSettings()) : std::nullopt;
  }

  Database& database_;
  GroupCommit& commits_;
};

}  // namespace

std::unique_ptr<FleetStore> MakeSqlFleetStore(Database& database, GroupCommit& commits) {
  return std::make_unique<SqlFleetStore>(database, commits);
}

}  // namespace fieldloop::distribution
