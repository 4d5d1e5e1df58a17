// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_EVALUATION_SERVICE_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_EVALUATION_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/domain/evaluation.h"
#include "services/evaluation/domain/stores.h"
#include "services/evaluation/domain/telemetry.h"

namespace fieldloop::evaluation {

// Runs models over recordings. Implemented by inference/ with the C code of the devices.
class WindowJudge {
 public:
  struct Judgement {
    std::vector<std::string> classes;  // Of the model, in the order of its outputs.
    std::vector<JudgedSample> samples;
  };

  WindowJudge() = default;
  WindowJudge(const WindowJudge&) = delete;
  WindowJudge& operator=(const WindowJudge&) = delete;
  virtual ~WindowJudge() = default;

  // Judges the testing side of evaluation.dataset_version with its model, and its baseline on the
  // same windows. Calls `progress` with 0 to 1 now and then; stops with its error. Errors of the
  // other services as they come; INVALID_ARGUMENT if a model cannot be run on the recordings.
  virtual absl::StatusOr<Judgement> Judge(const Evaluation& evaluation,
                                          const std::function<absl::Status(double)>& progress) = 0;
};

// What clients can do with evaluations. Thread-safe.
class EvaluationService {
 public:
  // All must outlive this object.
  EvaluationService(EvaluationStore& store, const Clock& clock, ChangeSignal& changed);

  // INVALID_ARGUMENT naming the field.
  absl::StatusOr<Evaluation> Create(const Evaluation& evaluation, const std::string& request_id);
  absl::StatusOr<Evaluation> Get(const std::string& project, std::int64_t number);
  absl::StatusOr<Page<Evaluation>> List(const std::string& project, int page_size,
                                        const std::string& page_token);

 private:
  EvaluationStore& store_;
  const Clock& clock_;
  ChangeSignal& changed_;
};

// Works off the queue. Not thread-safe: one thread runs it, under a lease.
class EvaluationWorker {
 public:
  // All must outlive this object. `still_ours` renews the lease; false stops the evaluation where
  // it is, and whoever has the lease begins it again.
  EvaluationWorker(EvaluationStore& store, WindowJudge& judge, const Clock& clock,
                   ChangeSignal& changed, Telemetry& telemetry, std::function<bool()> still_ours);

  // Runs the oldest evaluation that is not done. False when there was none. An error that may pass
  // leaves it in the queue, is written into its `error`, and is returned.
  absl::StatusOr<bool> RunOne();

 private:
  EvaluationStore& store_;
  WindowJudge& judge_;
  const Clock& clock_;
  ChangeSignal& changed_;
  Telemetry& telemetry_;
  const std::function<bool()> still_ours_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_EVALUATION_SERVICE_H_
