// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_TELEMETRY_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_TELEMETRY_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/drift.h"
#include "services/evaluation/domain/evaluation.h"

namespace fieldloop::evaluation {

// Hears what happened, for metrics and the log. As it is, it does nothing. Thread-safe.
class Telemetry {
 public:
  Telemetry() = default;
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;
  virtual ~Telemetry() = default;

  virtual void SketchRecorded(bool /*is_new*/) {}
  virtual void LookMade(const DriftReport& /*report*/) {}
  virtual void EvaluationDone(const Evaluation& /*evaluation*/, absl::Duration /*took*/) {}
  virtual void CycleMoved(const Cycle& /*cycle*/) {}
  // Something went wrong that no caller hears of.
  virtual void BackgroundError(absl::string_view /*what*/, const absl::Status& /*status*/) {}
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_TELEMETRY_H_
