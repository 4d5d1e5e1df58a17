// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/inference/impulse_suggester.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/evaluation/inference/sample_view.h"

namespace fieldloop::evaluation {
namespace {

// Suggestions stored in one call.
constexpr std::size_t kBatch = 100;

bool HasAxes(const TestingSample& sample, const Model& model) {
  return std::all_of(model.axes.begin(), model.axes.end(), [&](const std::string& axis) {
    return std::find(sample.axes.begin(), sample.axes.end(), axis) != sample.axes.end();
  });
}

// What the model says of every window; nothing if there is none that it can read.
absl::StatusOr<std::vector<WindowOpinion>> LookAt(const TestingSample& sample, const Model& model,
                                                  WindowClassifier& classifier) {
  std::vector<WindowOpinion> windows;
  FIELDLOOP_ASSIGN_OR_RETURN(const SampleView view, ViewOf(sample, model));
  for (std::int64_t start = 0; start + model.window_length <= view.readings;
       start += model.window_stride) {
    std::optional<WindowOpinion> opinion = classifier.Describe(
        view.recording.values.data() + start * static_cast<std::int64_t>(model.axes.size()));
    if (opinion.has_value() && opinion->probabilities.size() == model.classes.size()) {
      windows.push_back(*std::move(opinion));
    }
  }
  return windows;
}

absl::Status Unreadable(const absl::Status& status) {
  return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kModelUnreadable, status.message());
}

}  // namespace

ImpulseSuggester::ImpulseSuggester(ModelRegistry& models, SuggestionDesk& desk,
                                   ImpulseJudge::Opener open)
    : models_(models), desk_(desk), open_(std::move(open)) {}

absl::StatusOr<SuggestionCounts> ImpulseSuggester::Suggest(const std::string& project,
                                                           const std::string& model_name,
                                                           int max_samples) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Model model, models_.GetModel(model_name));
  FIELDLOOP_ASSIGN_OR_RETURN(std::string tflite, models_.DownloadModel(model.name));
  absl::StatusOr<std::unique_ptr<WindowClassifier>> classifier = open_(model, std::move(tflite));
  if (absl::IsInvalidArgument(classifier.status())) {
    return Unreadable(classifier.status());
  }
  FIELDLOOP_RETURN_IF_ERROR(classifier.status());

  SuggestionCounts counts;
  std::vector<Suggestion> batch;
  int asked = 0;
  const auto store = [&]() -> absl::Status {
    if (batch.empty()) {
      return absl::OkStatus();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const int stored, desk_.Store(project, std::exchange(batch, {})));
    counts.suggested += stored;
    return absl::OkStatus();
  };
  const auto wanted = [&](const TestingSample& sample) {
    const bool readable = sample.frequency_hz > 0 && HasAxes(sample, model);
    counts.unreadable += readable ? 0 : 1;
    return readable;
  };
  const auto ask = [&](const TestingSample& sample) -> absl::StatusOr<bool> {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<WindowOpinion> windows,
                               LookAt(sample, model, **classifier));
    if (windows.empty()) {
      ++counts.unreadable;
      return true;
    }
    Suggestion suggestion = SumUp(windows, model.classes);
    suggestion.sample = sample.name;
    suggestion.model_digest = model.digest;
    batch.push_back(std::move(suggestion));
    if (batch.size() == kBatch) {
      FIELDLOOP_RETURN_IF_ERROR(store());
    }
    return ++asked < max_samples;
  };
  FIELDLOOP_RETURN_IF_ERROR(desk_.ForEachUnlabelled(project, model.digest, wanted, ask));
  FIELDLOOP_RETURN_IF_ERROR(store());
  return counts;
}

}  // namespace fieldloop::evaluation
