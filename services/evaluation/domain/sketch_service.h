// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SKETCH_SERVICE_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SKETCH_SERVICE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/domain/neighbours.h"
#include "services/evaluation/domain/policy.h"
#include "services/evaluation/domain/stores.h"
#include "services/evaluation/domain/telemetry.h"

namespace fieldloop::evaluation {

// Takes sketches in and gives field metrics and drift reports out. Thread-safe.
class SketchService {
 public:
  // All must outlive this object.
  SketchService(SketchStore& store, ModelRegistry& models, const Clock& clock,
                ChangeSignal& changed, Telemetry& telemetry);

  // Stores a sketch of a device of `project`; a repeat changes nothing. FAILED_PRECONDITION, reason
  // UNKNOWN_MODEL or OTHER_REFERENCE; INVALID_ARGUMENT naming the field.
  absl::Status Record(const std::string& project, const Sketch& sketch);

  // One entry for each span of sensor time and model, oldest first.
  absl::StatusOr<Page<FieldMetrics>> ListFieldMetrics(const std::string& project, absl::Time start,
                                                      double span_seconds, int page_size,
                                                      const std::string& page_token);
  absl::StatusOr<Page<DriftReport>> ListDriftReports(const std::string& project, int page_size,
                                                     const std::string& page_token);

 private:
  SketchStore& store_;
  ModelRegistry& models_;
  const Clock& clock_;
  ChangeSignal& changed_;
  Telemetry& telemetry_;
};

// Looks for drift in what has arrived. Not thread-safe: one thread runs it, under a lease.
class DriftWorker {
 public:
  // A look takes at most this many devices, chosen by a hash of their names: the tests do not gain
  // from more, and the work stays bounded.
  static constexpr std::size_t kMostDevices = 2000;

  // All must outlive this object.
  DriftWorker(SketchStore& sketches, PolicyStore& policies, ModelRegistry& models,
              PolicyParser parse_policy, const Clock& clock, ChangeSignal& changed,
              Telemetry& telemetry);

  // Makes every look that is due. Returns how many reports it made.
  absl::StatusOr<int> RunDue();

 private:
  absl::StatusOr<DriftPolicy> PolicyOf(const std::string& project);
  absl::StatusOr<bool> LookAt(const FreshModel& fresh);

  SketchStore& sketches_;
  PolicyStore& policies_;
  ModelRegistry& models_;
  const PolicyParser parse_policy_;
  const Clock& clock_;
  ChangeSignal& changed_;
  Telemetry& telemetry_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SKETCH_SERVICE_H_
