// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/model_judge.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/build/domain/class_scores.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {

absl::StatusOr<ModelFigures> JudgeModel(ModelJudge& judge, std::string file,
                                        const std::vector<std::string>& classes,
                                        TrainingSetWriter& set, std::stop_token stop) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<OpenedModel> model, judge.Open(std::move(file)));
  if (model->classes() != classes) {
    return absl::InvalidArgumentError(absl::StrCat("its classes: got ",
                                                   absl::StrJoin(model->classes(), ", "), ", want ",
                                                   absl::StrJoin(classes, ", ")));
  }
  const std::size_t window_values =
      static_cast<std::size_t>(model->window().length) * model->window().axes.size();
  ClassScores scores(classes);
  const absl::Status read = set.ReadTesting(
      [&](const WindowRow& row, const float* values, std::size_t count) -> absl::Status {
        if (stop.stop_requested()) {
          return absl::CancelledError("stopped");
        }
        if (count != window_values) {
          return absl::InvalidArgumentError(
              absl::StrCat("it takes windows of ", window_values, " values, want ", count));
        }
        scores.Add(static_cast<std::size_t>(row.label) - 1, model->Classify(values));
        return absl::OkStatus();
      });
  FIELDLOOP_RETURN_IF_ERROR(read);
  return ModelFigures{.metrics = scores.Metrics(),
                      .cortex_m4_instructions = model->cortex_m4_instructions(),
                      .host_inference_nanos = absl::ToInt64Nanoseconds(model->MeasureLatency())};
}

}  // namespace fieldloop::build
