// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_APP_TELEMETRY_H_
#define FIELDLOOP_SERVICES_EVALUATION_APP_TELEMETRY_H_

#include <map>
#include <string>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "services/common/clock/clock.h"
#include "services/evaluation/domain/stores.h"
#include "services/evaluation/domain/telemetry.h"

namespace fieldloop::evaluation {

// What happened, as Prometheus metrics and lines of the log. Thread-safe.
class PrometheusTelemetry final : public Telemetry {
 public:
  explicit PrometheusTelemetry(prometheus::Registry& registry);

  void SketchRecorded(bool is_new) override;
  void LookMade(const DriftReport& report) override;
  void EvaluationDone(const Evaluation& evaluation, absl::Duration took) override;
  void CycleMoved(const Cycle& cycle) override;
  void BackgroundError(absl::string_view what, const absl::Status& status) override;

  // Sets the gauges that say what is in the database: every replica has them, whichever did the
  // work. From one thread.
  absl::Status Refresh(CycleStore& cycles, EvaluationStore& evaluations, SketchStore& sketches,
                       const Clock& clock);

 private:
  // Of a project.
  struct DriftGauges {
    prometheus::Gauge& statistic;
    prometheus::Gauge& limit;
    prometheus::Gauge& devices;
  };

  prometheus::Histogram& EvaluationSeconds(EvaluationState state);
  absl::Status RefreshDrift(SketchStore& sketches);

  prometheus::Family<prometheus::Counter>& sketches_;
  prometheus::Family<prometheus::Counter>& looks_;
  prometheus::Family<prometheus::Gauge>& statistic_;
  prometheus::Family<prometheus::Gauge>& limit_;
  prometheus::Family<prometheus::Gauge>& drifted_devices_;
  std::map<std::string, DriftGauges> drift_;
  prometheus::Family<prometheus::Gauge>& cycles_;
  prometheus::Family<prometheus::Counter>& transitions_;
  prometheus::Family<prometheus::Gauge>& evaluations_;
  prometheus::Family<prometheus::Histogram>& evaluation_seconds_;
  prometheus::Gauge& oldest_waiting_seconds_;
  prometheus::Gauge& oldest_approval_seconds_;
  prometheus::Gauge& stored_sketches_;
  prometheus::Family<prometheus::Counter>& background_errors_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_APP_TELEMETRY_H_
