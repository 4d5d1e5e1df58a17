// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_IMPULSE_MODEL_JUDGE_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_IMPULSE_MODEL_JUDGE_H_

#include <functional>
#include <memory>
#include <string>

#include "services/build/domain/model_judge.h"

namespace fieldloop::build {

// Opens models with agent/impulse.
//
// Latency is the median over kLatencyRuns inferences of the model's self-test window (of a window
// of zeros without one) after one that is not counted; a model so slow that they would take longer
// than kLatencyLimit is measured by those that fit, at least one.
class ImpulseModelJudge final : public ModelJudge {
 public:
  // Time since some moment, that never goes back.
  using Stopwatch = std::function<absl::Duration()>;
  explicit ImpulseModelJudge(Stopwatch stopwatch);

  absl::StatusOr<std::unique_ptr<OpenedModel>> Open(std::string file) override;

  static constexpr int kLatencyRuns = 51;
  static constexpr absl::Duration kLatencyLimit = absl::Seconds(1);

 private:
  const Stopwatch stopwatch_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_IMPULSE_MODEL_JUDGE_H_
