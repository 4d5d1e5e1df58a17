// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/app/telemetry.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "services/common/log/log.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::evaluation {
namespace {

// "projects/x" -> "x", as a label.
std::map<std::string, std::string> ProjectLabel(const std::string& project) {
  return {{"project", project.substr(project.rfind('/') + 1)}};
}

const char* VerdictName(DriftVerdict verdict) {
  switch (verdict) {
    case DriftVerdict::kLearning:
      return "learning";
    case DriftVerdict::kSteady:
      return "steady";
    case DriftVerdict::kDrift:
      return "drift";
  }
  return "";
}

const char* StateName(EvaluationState state) {
  switch (state) {
    case EvaluationState::kQueued:
      return "queued";
    case EvaluationState::kRunning:
      return "running";
    case EvaluationState::kSucceeded:
      return "succeeded";
    case EvaluationState::kFailed:
      return "failed";
  }
  return "";
}

prometheus::Family<prometheus::Counter>& Counter(prometheus::Registry& registry, const char* name,
                                                 const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& Gauge(prometheus::Registry& registry, const char* name,
                                             const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

}  // namespace

PrometheusTelemetry::PrometheusTelemetry(prometheus::Registry& registry)
    : sketches_(Counter(registry, "fieldloop_evaluation_sketches_total",
                        "Sketches of devices, by whether they were new or a repeat.")),
      looks_(Counter(registry, "fieldloop_evaluation_drift_looks_total",
                     "Looks for drift, by what they said.")),
      statistic_(Gauge(registry, "fieldloop_evaluation_drift_statistic",
                       "-log10 of the smallest corrected p of the last look.")),
      limit_(Gauge(registry, "fieldloop_evaluation_drift_limit",
                   "What the drift statistic must pass for the fleet as a whole to have moved.")),
      drifted_devices_(Gauge(registry, "fieldloop_evaluation_drifted_devices",
                             "Devices that drifted by themselves in the last look.")),
      cycles_(Gauge(registry, "fieldloop_evaluation_cycles", "Cycles by state.")),
      transitions_(Counter(registry, "fieldloop_evaluation_cycle_transitions_total",
                           "Transitions of cycles by the state that they led to.")),
      evaluations_(Gauge(registry, "fieldloop_evaluation_evaluations", "Evaluations by state.")),
      evaluation_seconds_(prometheus::BuildHistogram()
                              .Name("fieldloop_evaluation_evaluation_seconds")
                              .Help("Time that evaluations ran, by how they ended.")
                              .Register(registry)),
      oldest_waiting_seconds_(Gauge(registry, "fieldloop_evaluation_oldest_waiting_seconds",
                                    "Age of the oldest evaluation that is not done.")
                                  .Add({})),
      oldest_approval_seconds_(Gauge(registry, "fieldloop_evaluation_oldest_approval_seconds",
                                     "How long the cycle that waits longest for an approval has "
                                     "waited.")
                                   .Add({})),
      stored_sketches_(
          Gauge(registry, "fieldloop_evaluation_stored_sketches", "Sketches in the database.")
              .Add({})),
      background_errors_(Counter(registry, "fieldloop_evaluation_background_errors_total",
                                 "Failed steps of background work; it tries again.")) {
  // All series with a closed set of labels are there from the start, so that a rate over them has a
  // first value.
  for (const char* kind : {"new", "repeat"}) {
    sketches_.Add({{"kind", kind}});
  }
  for (int state = static_cast<int>(CycleState::kObserving);
       state <= static_cast<int>(CycleState::kCancelled); ++state) {
    transitions_.Add({{"to", CycleStateName(static_cast<CycleState>(state))}});
  }
  for (const EvaluationState state : {EvaluationState::kSucceeded, EvaluationState::kFailed}) {
    EvaluationSeconds(state);
  }
  for (const absl::StatusCode code :
       {absl::StatusCode::kUnavailable, absl::StatusCode::kInternal}) {
    background_errors_.Add({{"code", absl::StatusCodeToString(code)}});
  }
}

prometheus::Histogram& PrometheusTelemetry::EvaluationSeconds(EvaluationState state) {
  return evaluation_seconds_.Add(
      {{"state", StateName(state)}},
      prometheus::Histogram::BucketBoundaries{0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800});
}

void PrometheusTelemetry::SketchRecorded(bool is_new) {
  sketches_.Add({{"kind", is_new ? "new" : "repeat"}}).Increment();
}

void PrometheusTelemetry::LookMade(const DriftReport& report) {
  std::map<std::string, std::string> labels = ProjectLabel(report.project);
  labels["verdict"] = VerdictName(report.verdict);
  looks_.Add(labels).Increment();
  spdlog::info("{}: {}", report.name(), report.explanation);
}

void PrometheusTelemetry::EvaluationDone(const Evaluation& evaluation, absl::Duration took) {
  EvaluationSeconds(evaluation.state).Observe(absl::ToDoubleSeconds(took));
  spdlog::info("{}: {} {}", evaluation.name(), StateName(evaluation.state), evaluation.error);
}

void PrometheusTelemetry::CycleMoved(const Cycle& cycle) {
  transitions_.Add({{"to", CycleStateName(cycle.state)}}).Increment();
  if (!cycle.transitions.empty()) {
    spdlog::info("{}: {}: {}", cycle.name(), CycleStateName(cycle.state),
                 cycle.transitions.back().reason);
  }
}

void PrometheusTelemetry::BackgroundError(absl::string_view what, const absl::Status& status) {
  background_errors_.Add({{"code", absl::StatusCodeToString(status.code())}}).Increment();
  spdlog::warn("{}: {}", what, status.ToString());
}

absl::Status PrometheusTelemetry::Refresh(CycleStore& cycles, EvaluationStore& evaluations,
                                          SketchStore& sketches, const Clock& clock) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto by_cycle_state, cycles.CountByState());
  for (int state = static_cast<int>(CycleState::kObserving);
       state <= static_cast<int>(CycleState::kCancelled); ++state) {
    const auto found = by_cycle_state.find(static_cast<CycleState>(state));
    cycles_.Add({{"state", CycleStateName(static_cast<CycleState>(state))}})
        .Set(found == by_cycle_state.end() ? 0.0 : static_cast<double>(found->second));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const auto by_state, evaluations.CountByState());
  for (const EvaluationState state : {EvaluationState::kQueued, EvaluationState::kRunning,
                                      EvaluationState::kSucceeded, EvaluationState::kFailed}) {
    const auto found = by_state.find(state);
    evaluations_.Add({{"state", StateName(state)}})
        .Set(found == by_state.end() ? 0.0 : static_cast<double>(found->second));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<Evaluation> oldest, evaluations.NextUnfinished());
  oldest_waiting_seconds_.Set(
      oldest.has_value() ? absl::ToDoubleSeconds(clock.Now() - oldest->create_time) : 0.0);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<CycleWork> work, cycles.ListWork());
  absl::Duration oldest_approval = absl::ZeroDuration();
  for (const CycleWork& one : work) {
    if (one.state == CycleState::kAwaitingApproval) {
      FIELDLOOP_ASSIGN_OR_RETURN(const Cycle cycle, cycles.Get(one.project, one.number));
      oldest_approval =
          std::max(oldest_approval, clock.Now() - cycle.transitions.back().create_time);
    }
  }
  oldest_approval_seconds_.Set(absl::ToDoubleSeconds(oldest_approval));
  FIELDLOOP_RETURN_IF_ERROR(RefreshDrift(sketches));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t stored, sketches.CountSketches());
  stored_sketches_.Set(static_cast<double>(stored));
  return absl::OkStatus();
}

absl::Status PrometheusTelemetry::RefreshDrift(SketchStore& sketches) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<DriftReport> tests, sketches.ListNewestTests());
  std::map<std::string, DriftGauges> gone = std::move(drift_);
  drift_.clear();
  for (const DriftReport& report : tests) {
    const std::map<std::string, std::string> labels = ProjectLabel(report.project);
    const DriftGauges gauges = {.statistic = statistic_.Add(labels),
                                .limit = limit_.Add(labels),
                                .devices = drifted_devices_.Add(labels)};
    gauges.statistic.Set(report.statistic);
    gauges.limit.Set(report.limit);
    gauges.devices.Set(report.drifted_devices);
    drift_.emplace(report.project, gauges);
    gone.erase(report.project);
  }
  for (const auto& [project, gauges] : gone) {
    statistic_.Remove(&gauges.statistic);
    limit_.Remove(&gauges.limit);
    drifted_devices_.Remove(&gauges.devices);
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::evaluation
