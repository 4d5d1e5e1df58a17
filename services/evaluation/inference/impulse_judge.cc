// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/inference/impulse_judge.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/signal/windows.h"
#include "services/common/status/status_macros.h"
#include "services/evaluation/inference/sample_view.h"

namespace fieldloop::evaluation {
namespace {

// Whether one label covers all readings of the window; ranges do not overlap.
bool IsPure(const SampleView& view, std::int64_t start, int length, const std::string& label) {
  if (start < 0 || start + length > view.readings) {
    return false;
  }
  std::int64_t covered = 0;
  for (const ReadingRange& range : view.ranges) {
    if (range.label == label) {
      const std::int64_t end = range.end < 0 ? view.readings - 1 : range.end;
      covered += std::max<std::int64_t>(
          0, std::min(end, start + length - 1) - std::max(range.start, start) + 1);
    }
  }
  return covered >= length;
}

int Run(const SampleView& view, std::int64_t start, const OpenedModel& opened) {
  const int predicted = opened.classifier.Classify(
      view.recording.values.data() + start * static_cast<std::int64_t>(opened.model.axes.size()));
  return predicted < static_cast<int>(opened.model.classes.size()) ? predicted : -1;
}

}  // namespace

absl::StatusOr<JudgedSample> JudgeSample(const TestingSample& sample,
                                         const std::vector<std::string>& slice_keys,
                                         const OpenedModel& model, const OpenedModel* baseline) {
  JudgedSample judged;
  const auto person = sample.metadata.find("person");
  judged.group = person != sample.metadata.end() ? absl::StrCat("person=", person->second)
                 : sample.device.empty()         ? sample.name
                                                 : sample.device;
  judged.slices.push_back(sample.device.empty() ? "source=upload" : "source=device");
  for (const std::string& key : slice_keys) {
    if (const auto found = sample.metadata.find(key); found != sample.metadata.end()) {
      judged.slices.push_back(absl::StrCat(key, "=", found->second));
    }
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const SampleView view, ViewOf(sample, model.model));
  SampleView baseline_view;
  if (baseline != nullptr) {
    FIELDLOOP_ASSIGN_OR_RETURN(baseline_view, ViewOf(sample, baseline->model));
  }
  const double rate =
      baseline == nullptr ? 1 : baseline->model.frequency_hz / model.model.frequency_hz;
  for (const LabelledWindow& window : CutWindows(view.readings, model.model.window_length,
                                                 model.model.window_stride, 1.0, view.ranges)) {
    const std::int64_t baseline_start = std::llround(static_cast<double>(window.start) * rate);
    if (baseline != nullptr &&
        !IsPure(baseline_view, baseline_start, baseline->model.window_length, window.label)) {
      continue;
    }
    JudgedWindow result;
    result.label = window.label;
    result.predicted = Run(view, window.start, model);
    if (result.predicted < 0) {
      continue;  // Not finite: a device would not classify it either.
    }
    if (baseline != nullptr) {
      const int predicted = Run(baseline_view, baseline_start, *baseline);
      if (predicted >= 0) {
        result.baseline_class = baseline->model.classes[static_cast<std::size_t>(predicted)];
      }
    }
    judged.windows.push_back(std::move(result));
  }
  return judged;
}

ImpulseJudge::ImpulseJudge(ModelRegistry& models, SampleArchive& samples, Opener open)
    : models_(models), samples_(samples), open_(std::move(open)) {}

absl::StatusOr<WindowJudge::Judgement> ImpulseJudge::Judge(
    const Evaluation& evaluation, const std::function<absl::Status(double)>& progress) {
  struct Loaded {
    Model model;
    std::unique_ptr<WindowClassifier> classifier;
  };
  const auto load = [this](const std::string& name) -> absl::StatusOr<Loaded> {
    Loaded loaded;
    FIELDLOOP_ASSIGN_OR_RETURN(loaded.model, models_.GetModel(name));
    FIELDLOOP_ASSIGN_OR_RETURN(std::string tflite, models_.DownloadModel(loaded.model.name));
    FIELDLOOP_ASSIGN_OR_RETURN(loaded.classifier, open_(loaded.model, std::move(tflite)));
    return loaded;
  };
  FIELDLOOP_ASSIGN_OR_RETURN(const Loaded model, load(evaluation.model));
  Loaded baseline;
  if (!evaluation.baseline_model.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(baseline, load(evaluation.baseline_model));
  }
  const OpenedModel opened{.model = model.model, .classifier = *model.classifier};
  Judgement judgement;
  judgement.classes = model.model.classes;
  FIELDLOOP_RETURN_IF_ERROR(progress(0));
  const absl::Status read = samples_.ForEachTestingSample(
      evaluation.dataset_version, [&](const TestingSample& sample, double share) -> absl::Status {
        absl::StatusOr<JudgedSample> judged = absl::InternalError("not judged");
        if (baseline.classifier != nullptr) {
          const OpenedModel other{.model = baseline.model, .classifier = *baseline.classifier};
          judged = JudgeSample(sample, evaluation.slice_keys, opened, &other);
        } else {
          judged = JudgeSample(sample, evaluation.slice_keys, opened, nullptr);
        }
        FIELDLOOP_RETURN_IF_ERROR(judged.status());
        judgement.samples.push_back(*std::move(judged));
        return progress(share);
      });
  FIELDLOOP_RETURN_IF_ERROR(read);
  return judgement;
}

}  // namespace fieldloop::evaluation
