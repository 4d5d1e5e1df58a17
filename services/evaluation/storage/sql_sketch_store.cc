// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>

#include <soci/soci.h>

#include "services/common/status/status_macros.h"
#include "services/evaluation/storage/codec.h"
#include "services/evaluation/storage/sql_stores.h"
#include "services/evaluation/storage/sql_text.h"

namespace fieldloop::evaluation {
namespace {

// "projects/x" of "projects/x/devices/y".
std::string ProjectOf(const std::string& device) {
  return device.substr(0, device.find('/', sizeof("projects/") - 1));
}

// Cycles of the project that have ended: with each, baselines are learnt anew.
long long SelectEpoch(soci::session& session, const std::string& project) {
  long long epoch = 0;
  session << "SELECT COUNT(*) FROM cycles WHERE project = :project AND state >= 8",
      soci::use(project, "project"), soci::into(epoch);
  return epoch;
}

struct Run {
  long long run = 0;
  long long epoch = 0;
  std::string model_digest;
  long long last_sequence = 0;
  long long periods = 0;
  long long looked_periods = 0;
  long long silent = 0;
};

absl::StatusOr<DriftReport> ReportFrom(const std::string& project, long long number,
                                       const std::string& digest, long long verdict,
                                       long long micros, const std::string& body) {
  DriftReport report;
  report.project = project;
  report.number = number;
  report.model_digest = digest;
  report.verdict = static_cast<DriftVerdict>(verdict);
  report.create_time = FromMicros(micros);
  FIELDLOOP_RETURN_IF_ERROR(DecodeReport(body, report));
  return report;
}

}  // namespace

absl::StatusOr<bool> SqlSketchStore::Record(const Sketch& sketch, absl::Time now) {
  const std::string project = ProjectOf(sketch.device);
  const long long sequence = static_cast<long long>(sketch.sequence);
  const long long start = ToMicros(sketch.start_time);
  const long long received = ToMicros(now);
  const std::string body = EncodeSketch(sketch);
  bool is_new = false;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    long long there = 0;
    session << "SELECT COUNT(*) FROM sketches WHERE project = :project AND device = :device AND "
               "sequence = :sequence",
        soci::use(project, "project"), soci::use(sketch.device, "device"),
        soci::use(sequence, "sequence"), soci::into(there);
    is_new = there == 0;
    if (!is_new) {
      return absl::OkStatus();
    }
    const long long epoch = SelectEpoch(session, project);
    Run run;
    session << "SELECT run, epoch, model_digest, last_sequence, periods, looked_periods, silent "
               "FROM device_runs WHERE project = :project AND device = :device",
        soci::use(project, "project"), soci::use(sketch.device, "device"), soci::into(run.run),
        soci::into(run.epoch), soci::into(run.model_digest), soci::into(run.last_sequence),
        soci::into(run.periods), soci::into(run.looked_periods), soci::into(run.silent);
    const bool known = session.got_data();
    const bool same = known && run.model_digest == sketch.model_digest && run.epoch == epoch;
    const bool stale =
        known && run.model_digest != sketch.model_digest && sequence < run.last_sequence;
    long long ordinal = 0;
    if (sketch.windows > 0 && !stale) {
      if (!same) {
        run = {.run = sequence,
               .epoch = epoch,
               .model_digest = sketch.model_digest,
               .last_sequence = sequence,
               .periods = 0,
               .looked_periods = 0,
               .silent = 0};
      }
      ordinal = ++run.periods;
      run.last_sequence = std::max(run.last_sequence, sequence);
      session
          << "INSERT INTO device_runs (project, device, run, epoch, model_digest, "
             "last_sequence, periods, looked_periods, silent) VALUES (:project, :device, :run, "
             ":epoch, :digest, :last, :periods, :looked, :silent) ON CONFLICT (project, device) "
             "DO UPDATE SET run = excluded.run, epoch = excluded.epoch, model_digest = "
             "excluded.model_digest, last_sequence = excluded.last_sequence, periods = "
             "excluded.periods, looked_periods = excluded.looked_periods, silent = "
             "excluded.silent",
          soci::use(project, "project"), soci::use(sketch.device, "device"),
          soci::use(run.run, "run"), soci::use(run.epoch, "epoch"),
          soci::use(run.model_digest, "digest"), soci::use(run.last_sequence, "last"),
          soci::use(run.periods, "periods"), soci::use(run.looked_periods, "looked"),
          soci::use(run.silent, "silent");
    }
    session << "INSERT INTO sketches (project, device, sequence, run, ordinal, model_digest, "
               "start_micros, receive_micros, body) VALUES (:project, :device, :sequence, :run, "
               ":ordinal, :digest, :start, :received, :body)",
        soci::use(project, "project"), soci::use(sketch.device, "device"),
        soci::use(sequence, "sequence"), soci::use(run.run, "run"), soci::use(ordinal, "ordinal"),
        soci::use(sketch.model_digest, "digest"), soci::use(start, "start"),
        soci::use(received, "received"), soci::use(body, "body");
    return absl::OkStatus();
  }));
  return is_new;
}

absl::Status SqlSketchStore::ForEach(const std::string& project, absl::Time start,
                                     absl::FunctionRef<bool(const Sketch&)> sink) {
  const long long from = ToMicros(start);
  return database_.Read([&](soci::session& session) -> absl::Status {
    std::string device;
    long long sequence = 0;
    std::string digest;
    long long micros = 0;
    std::string body;
    soci::statement statement =
        (session.prepare << "SELECT device, sequence, model_digest, start_micros, body FROM "
                            "sketches WHERE project = :project AND start_micros >= :start ORDER BY "
                            "start_micros",
         soci::use(project, "project"), soci::use(from, "start"), soci::into(device),
         soci::into(sequence), soci::into(digest), soci::into(micros), soci::into(body));
    statement.execute();
    while (statement.fetch()) {
      Sketch sketch;
      sketch.device = device;
      sketch.sequence = static_cast<std::uint64_t>(sequence);
      sketch.model_digest = digest;
      sketch.start_time = FromMicros(micros);
      FIELDLOOP_RETURN_IF_ERROR(DecodeSketch(body, sketch));
      if (!sink(sketch)) {
        break;
      }
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<FreshModel>> SqlSketchStore::ListFreshModels() {
  std::vector<FreshModel> models;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    std::string project;
    std::string digest;
    soci::statement statement =
        (session.prepare << "SELECT DISTINCT project, model_digest FROM device_runs WHERE periods "
                            "> looked_periods ORDER BY project, model_digest",
         soci::into(project), soci::into(digest));
    statement.execute();
    models.clear();
    while (statement.fetch()) {
      models.push_back({.project = project, .model_digest = digest});
    }
    return absl::OkStatus();
  }));
  return models;
}

absl::StatusOr<std::vector<DeviceProgress>> SqlSketchStore::ListProgress(
    const std::string& project, const std::string& model_digest) {
  std::vector<DeviceProgress> progress;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    const long long epoch = SelectEpoch(session, project);
    std::string device;
    Run run;
    soci::statement statement =
        (session.prepare << "SELECT device, epoch, periods, looked_periods, silent FROM "
                            "device_runs WHERE project = :project AND model_digest = :digest ORDER "
                            "BY device",
         soci::use(project, "project"), soci::use(model_digest, "digest"), soci::into(device),
         soci::into(run.epoch), soci::into(run.periods), soci::into(run.looked_periods),
         soci::into(run.silent));
    statement.execute();
    progress.clear();
    while (statement.fetch()) {
      if (run.epoch == epoch) {
        progress.push_back({.device = device,
                            .periods = run.periods,
                            .looked_periods = run.looked_periods,
                            .silent = run.silent != 0});
      }
    }
    return absl::OkStatus();
  }));
  return progress;
}

absl::StatusOr<std::vector<DevicePeriods>> SqlSketchStore::LoadPeriods(
    const std::string& project, const std::string& model_digest,
    const std::vector<DeviceProgress>& devices, int baseline, int recent) {
  std::vector<DevicePeriods> loaded;
  const absl::Status read = database_.Read([&](soci::session& session) -> absl::Status {
    const long long epoch = SelectEpoch(session, project);
    const long long last_baseline = baseline;
    std::string device;
    long long last = 0;
    long long before_recent = 0;
    long long ordinal = 0;
    long long micros = 0;
    std::string body;
    // Prepared once, run for each device.
    soci::statement statement =
        (session.prepare << "SELECT s.ordinal, s.start_micros, s.body FROM sketches s JOIN "
                            "device_runs r ON r.project = s.project AND r.device = s.device AND "
                            "r.run = s.run WHERE r.project = :project AND r.device = :device AND "
                            "r.model_digest = :digest AND r.epoch = :epoch AND s.model_digest = "
                            ":digest2 AND s.ordinal > 0 AND s.ordinal <= :last AND (s.ordinal <= "
                            ":baseline OR s.ordinal > :recent) ORDER BY s.ordinal",
         soci::use(project, "project"), soci::use(device, "device"),
         soci::use(model_digest, "digest"), soci::use(epoch, "epoch"),
         soci::use(model_digest, "digest2"), soci::use(last, "last"),
         soci::use(last_baseline, "baseline"), soci::use(before_recent, "recent"),
         soci::into(ordinal), soci::into(micros), soci::into(body));
    loaded.clear();
    for (const DeviceProgress& progress : devices) {
      device = progress.device;
      last = progress.periods;
      before_recent = progress.periods - recent;
      statement.execute();
      DevicePeriods periods;
      periods.device = device;
      while (statement.fetch()) {
        Sketch sketch;
        FIELDLOOP_RETURN_IF_ERROR(DecodeSketch(body, sketch));
        Period period{
            .start_time = FromMicros(micros), .period_ms = sketch.period_ms, .channels = {}};
        for (ChannelSketch& channel : sketch.channels) {
          period.channels.push_back(std::move(channel.bins));
        }
        if (ordinal > before_recent) {
          periods.recent.push_back(period);
        } else {
          periods.baseline.push_back(std::move(period));
        }
      }
      if (periods.baseline.size() == static_cast<std::size_t>(baseline) &&
          periods.recent.size() == static_cast<std::size_t>(recent)) {
        loaded.push_back(std::move(periods));
      }
    }
    return absl::OkStatus();
  });
  FIELDLOOP_RETURN_IF_ERROR(read);
  return loaded;
}

absl::StatusOr<int> SqlSketchStore::LastLook(const std::string& project,
                                             const std::string& model_digest) {
  long long look = 0;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    const long long epoch = SelectEpoch(session, project);
    session << "SELECT COALESCE(MAX(look), 0) FROM drift_looks WHERE project = :project AND "
               "model_digest = :digest AND epoch = :epoch",
        soci::use(project, "project"), soci::use(model_digest, "digest"), soci::use(epoch, "epoch"),
        soci::into(look);
    return absl::OkStatus();
  }));
  return static_cast<int>(look);
}

absl::StatusOr<DriftReport> SqlSketchStore::SaveLook(const DriftReport& report,
                                                     const std::vector<DeviceProgress>& seen) {
  DriftReport stored = report;
  const std::string body = EncodeReport(report);
  const long long look = report.look;
  const long long verdict = static_cast<long long>(report.verdict);
  const long long micros = ToMicros(report.create_time);
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) -> absl::Status {
    if (look > 0) {
      const long long epoch = SelectEpoch(session, report.project);
      long long last = 0;
      session << "SELECT COALESCE(MAX(look), 0) FROM drift_looks WHERE project = :project AND "
                 "model_digest = :digest AND epoch = :epoch",
          soci::use(report.project, "project"), soci::use(report.model_digest, "digest"),
          soci::use(epoch, "epoch"), soci::into(last);
      if (last != look - 1) {
        return absl::AlreadyExistsError(absl::StrCat("look ", look, " was made already"));
      }
      session << "INSERT INTO drift_looks (project, model_digest, epoch, look) VALUES (:project, "
                 ":digest, :epoch, :look) ON CONFLICT (project, model_digest, epoch) DO UPDATE SET "
                 "look = excluded.look",
          soci::use(report.project, "project"), soci::use(report.model_digest, "digest"),
          soci::use(epoch, "epoch"), soci::use(look, "look");
    }
    long long number = 0;
    session << "SELECT COALESCE(MAX(number), 0) + 1 FROM drift_reports WHERE project = :project",
        soci::use(report.project, "project"), soci::into(number);
    session << "INSERT INTO drift_reports (project, number, model_digest, verdict, create_micros, "
               "body) VALUES (:project, :number, :digest, :verdict, :created, :body)",
        soci::use(report.project, "project"), soci::use(number, "number"),
        soci::use(report.model_digest, "digest"), soci::use(verdict, "verdict"),
        soci::use(micros, "created"), soci::use(body, "body");
    stored.number = number;

    std::string device;
    long long looked = 0;
    long long silent = 0;
    soci::statement statement =
        (session.prepare << "UPDATE device_runs SET looked_periods = :looked, silent = :silent "
                            "WHERE project = :project AND device = :device AND model_digest = "
                            ":digest AND periods >= :looked2",
         soci::use(looked, "looked"), soci::use(silent, "silent"),
         soci::use(report.project, "project"), soci::use(device, "device"),
         soci::use(report.model_digest, "digest"), soci::use(looked, "looked2"));
    for (const DeviceProgress& progress : seen) {
      device = progress.device;
      looked = progress.looked_periods;
      silent = progress.silent ? 1 : 0;
      statement.execute(true);
    }
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<Page<DriftReport>> SqlSketchStore::ListReports(const std::string& project,
                                                              int page_size,
                                                              const std::string& page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const long long below, BelowNumber(page_token));
  Page<DriftReport> page;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    const long long limit = static_cast<long long>(page_size) + 1;
    long long number = 0;
    std::string digest;
    long long verdict = 0;
    long long micros = 0;
    std::string body;
    soci::statement statement =
        (session.prepare << "SELECT number, model_digest, verdict, create_micros, body FROM "
                            "drift_reports WHERE project = :project AND number < :below ORDER BY "
                            "number DESC LIMIT :limit",
         soci::use(project, "project"), soci::use(below, "below"), soci::use(limit, "limit"),
         soci::into(number), soci::into(digest), soci::into(verdict), soci::into(micros),
         soci::into(body));
    statement.execute();
    page = {};
    while (statement.fetch()) {
      if (page.rows.size() == static_cast<std::size_t>(page_size)) {
        page.next_page_token = absl::StrCat(page.rows.back().number);
        break;
      }
      FIELDLOOP_ASSIGN_OR_RETURN(DriftReport report,
                                 ReportFrom(project, number, digest, verdict, micros, body));
      page.rows.push_back(std::move(report));
    }
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<std::optional<DriftReport>> SqlSketchStore::LatestReport(
    const std::string& project, const std::string& model_digest, absl::Time since,
    bool only_drift) {
  std::optional<DriftReport> found;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    const long long from = ToMicros(since);
    const long long least_verdict = only_drift ? static_cast<long long>(DriftVerdict::kDrift) : 0;
    long long number = 0;
    long long verdict = 0;
    long long micros = 0;
    std::string body;
    session << "SELECT number, verdict, create_micros, body FROM drift_reports WHERE project = "
               ":project AND model_digest = :digest AND create_micros >= :since AND verdict >= "
               ":verdict ORDER BY number DESC LIMIT 1",
        soci::use(project, "project"), soci::use(model_digest, "digest"), soci::use(from, "since"),
        soci::use(least_verdict, "verdict"), soci::into(number), soci::into(verdict),
        soci::into(micros), soci::into(body);
    found.reset();
    if (session.got_data()) {
      FIELDLOOP_ASSIGN_OR_RETURN(found,
                                 ReportFrom(project, number, model_digest, verdict, micros, body));
    }
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::vector<DriftReport>> SqlSketchStore::ListNewestTests() {
  std::vector<DriftReport> reports;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) -> absl::Status {
    // From drift_looks, which has few rows: a test has one there, of its model.
    const soci::rowset<std::string> projects =
        (session.prepare << "SELECT DISTINCT project FROM drift_looks ORDER BY project");
    const std::vector<std::string> names(projects.begin(), projects.end());
    reports.clear();
    for (const std::string& project : names) {
      const long long learning = static_cast<long long>(DriftVerdict::kLearning);
      long long number = 0;
      std::string digest;
      long long verdict = 0;
      long long micros = 0;
      std::string body;
      session << "SELECT number, model_digest, verdict, create_micros, body FROM drift_reports "
                 "WHERE project = :project AND verdict > :learning ORDER BY number DESC LIMIT 1",
          soci::use(project, "project"), soci::use(learning, "learning"), soci::into(number),
          soci::into(digest), soci::into(verdict), soci::into(micros), soci::into(body);
      if (session.got_data()) {
        FIELDLOOP_ASSIGN_OR_RETURN(DriftReport report,
                                   ReportFrom(project, number, digest, verdict, micros, body));
        reports.push_back(std::move(report));
      }
    }
    return absl::OkStatus();
  }));
  return reports;
}

absl::StatusOr<std::int64_t> SqlSketchStore::Prune(absl::Time before) {
  std::int64_t pruned = 0;
  FIELDLOOP_RETURN_IF_ERROR(database_.Write([&](soci::session& session) {
    const long long cutoff = ToMicros(before);
    const long long kept = kKeptBaselinePeriods;
    soci::statement statement =
        (session.prepare << "DELETE FROM sketches WHERE receive_micros < :cutoff AND NOT (ordinal "
                            "> 0 AND ordinal <= :kept AND EXISTS (SELECT 1 FROM device_runs r "
                            "WHERE r.project = sketches.project AND r.device = sketches.device AND "
                            "r.run = sketches.run))",
         soci::use(cutoff, "cutoff"), soci::use(kept, "kept"));
    statement.execute(true);
    pruned = statement.get_affected_rows();
    // The newest stays, so that its number is not given again.
    session << "DELETE FROM drift_reports WHERE create_micros < :cutoff AND EXISTS (SELECT 1 FROM "
               "drift_reports newer WHERE newer.project = drift_reports.project AND newer.number > "
               "drift_reports.number)",
        soci::use(cutoff, "cutoff");
    return absl::OkStatus();
  }));
  return pruned;
}

absl::StatusOr<std::int64_t> SqlSketchStore::CountSketches() {
  long long count = 0;
  FIELDLOOP_RETURN_IF_ERROR(database_.Read([&](soci::session& session) {
    session << "SELECT COUNT(*) FROM sketches", soci::into(count);
    return absl::OkStatus();
  }));
  return count;
}

}  // namespace fieldloop::evaluation
