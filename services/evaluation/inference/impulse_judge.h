// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_INFERENCE_IMPULSE_JUDGE_H_
#define FIELDLOOP_SERVICES_EVALUATION_INFERENCE_IMPULSE_JUDGE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/evaluation/domain/evaluation_service.h"
#include "services/evaluation/domain/neighbours.h"
#include "services/evaluation/domain/suggestions.h"

namespace fieldloop::evaluation {

// Classifies one window of readings, with the model's axes at its rate.
class WindowClassifier {
 public:
  WindowClassifier() = default;
  WindowClassifier(const WindowClassifier&) = delete;
  WindowClassifier& operator=(const WindowClassifier&) = delete;
  virtual ~WindowClassifier() = default;
  // `window` holds length x axes values, axes within a reading. Returns the index of the class, or
  // -1 when the model cannot say (a value that is not finite).
  virtual int Classify(const float* window) = 0;
  // The probabilities behind it, and how unusual the window is; nothing when the model cannot say.
  virtual std::optional<WindowOpinion> Describe(const float* window) = 0;
};

// Opens a .tflite file with the C code of the devices. INVALID_ARGUMENT, naming the model, if it
// cannot be opened, its metadata does not fit it, or its self-test fails.
absl::StatusOr<std::unique_ptr<WindowClassifier>> OpenImpulse(const Model& model,
                                                              std::string tflite);

// Runs models over testing samples with the code that runs on devices.
class ImpulseJudge final : public WindowJudge {
 public:
  using Opener = std::function<absl::StatusOr<std::unique_ptr<WindowClassifier>>(
      const Model& model, std::string tflite)>;

  // All must outlive this object. `open` is OpenImpulse, or a fake.
  ImpulseJudge(ModelRegistry& models, SampleArchive& samples, Opener open);

  absl::StatusOr<Judgement> Judge(const Evaluation& evaluation,
                                  const std::function<absl::Status(double)>& progress) override;

 private:
  ModelRegistry& models_;
  SampleArchive& samples_;
  const Opener open_;
};

// Judges one sample with `model`, and with `baseline` unless it is null, on the same windows: they
// start where the model's own length and stride put them, and are judged if every model's window
// lies in one label and in the recording. Axes that are missing are INVALID_ARGUMENT.
struct OpenedModel {
  const Model& model;
  WindowClassifier& classifier;
};
absl::StatusOr<JudgedSample> JudgeSample(const TestingSample& sample,
                                         const std::vector<std::string>& slice_keys,
                                         const OpenedModel& model, const OpenedModel* baseline);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_INFERENCE_IMPULSE_JUDGE_H_
