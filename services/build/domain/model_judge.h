// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_JUDGE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_JUDGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/build/domain/build.h"
#include "services/build/domain/recipe.h"
#include "services/build/domain/training_set.h"

namespace fieldloop::build {

// A model that was opened as a device opens it. Not thread-safe.
class OpenedModel {
 public:
  OpenedModel() = default;
  OpenedModel(const OpenedModel&) = delete;
  OpenedModel& operator=(const OpenedModel&) = delete;
  virtual ~OpenedModel() = default;

  // What it classifies, as its metadata says; what Classify reads is window().length readings of
  // window().axes.
  virtual const Window& window() const = 0;
  // In the order of what Classify returns.
  virtual const std::vector<std::string>& classes() const = 0;
  // Instructions of one inference with its signal processing on a Cortex-M4, estimated.
  virtual std::int64_t cortex_m4_instructions() const = 0;

  // Index of the class, or -1 when the model cannot say (a value that is not finite).
  virtual int Classify(const float* window) = 0;
  // Median time of one inference with its signal processing on this machine.
  virtual absl::Duration MeasureLatency() = 0;
};

// Opens models with the code that devices run, so that figures are those of the device.
// Thread-safe.
class ModelJudge {
 public:
  ModelJudge() = default;
  ModelJudge(const ModelJudge&) = delete;
  ModelJudge& operator=(const ModelJudge&) = delete;
  virtual ~ModelJudge() = default;

  // INVALID_ARGUMENT, saying why, if a device could not open `file`.
  virtual absl::StatusOr<std::unique_ptr<OpenedModel>> Open(std::string file) = 0;
};

// What the registry keeps of a model beside what the trainer says.
struct ModelFigures {
  std::vector<Metric> metrics;  // As ClassScores::Metrics.
  std::int64_t cortex_m4_instructions = 0;
  std::int64_t host_inference_nanos = 0;
  friend bool operator==(const ModelFigures&, const ModelFigures&) = default;
};

// Runs the model in `file` over the testing windows of `set`, which is finished; `classes` are both
// those of the model and those of the set. INVALID_ARGUMENT if the model cannot be opened or is not
// for such windows or classes; CANCELLED when `stop` is requested; errors of the set.
absl::StatusOr<ModelFigures> JudgeModel(ModelJudge& judge, std::string file,
                                        const std::vector<std::string>& classes,
                                        TrainingSetWriter& set, std::stop_token stop);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_JUDGE_H_
