// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_DRIVER_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_DRIVER_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/evaluation_service.h"
#include "services/evaluation/domain/neighbours.h"
#include "services/evaluation/domain/policy.h"
#include "services/evaluation/domain/stores.h"
#include "services/evaluation/domain/telemetry.h"

namespace fieldloop::evaluation {

// Carries cycles on, one idempotent action after the other: act, then write down what came of it.
// All that must survive is in the store, so a driver may be killed anywhere and another one goes
// on. Not thread-safe: one thread runs it, under a lease.
class CycleDriver {
 public:
  struct Neighbours {
    ModelRegistry& models;
    SampleArchive& samples;
    Fleet& fleet;
  };

  // All must outlive this object.
  CycleDriver(CycleStore& cycles, PolicyStore& policies, SketchStore& sketches,
              EvaluationService& evaluations, Neighbours neighbours, PolicyParser parse_policy,
              const Clock& clock, ChangeSignal& changed, Telemetry& telemetry);

  struct Progress {
    bool changed = false;  // The cycle was written.
    absl::Status status;   // Of the action; a transient one calls for a pause.
  };
  // Does the next action of a cycle.
  absl::StatusOr<Progress> Advance(const std::string& project, std::int64_t number);

  // Gives every project with a policy a cycle, and advances all cycles that are due: at once after
  // a change, a second after they had to wait, and after growing pauses (to a minute) when a
  // service did not answer.
  absl::Status RunDue();

 private:
  absl::StatusOr<Policy> PolicyOf(Cycle& cycle);
  Facts Do(Action action, const Cycle& cycle, const Policy& policy);
  Facts LookForTrigger(const Cycle& cycle, const Policy& policy);
  Facts CountSamples(const Cycle& cycle, const CollectPolicy& collect);

  struct Pause {
    absl::Time until = absl::InfinitePast();
    absl::Duration length = absl::ZeroDuration();
  };

  CycleStore& cycles_;
  PolicyStore& policies_;
  SketchStore& sketches_;
  EvaluationService& evaluations_;
  const Neighbours neighbours_;
  const PolicyParser parse_policy_;
  const Clock& clock_;
  ChangeSignal& changed_;
  Telemetry& telemetry_;
  std::map<std::pair<std::string, std::int64_t>, Pause> pauses_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_DRIVER_H_
