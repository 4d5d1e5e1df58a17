// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/packaging/feature_extractor.h"
#include "services/build/packaging/held_out.h"
#include "services/build/packaging/int8_model.h"
#include "services/build/packaging/reference.h"
#include "services/build/packaging/self_test.h"
#include "services/build/trainer/file.h"
#include "services/build/trainer/fitting.h"
#include "services/build/trainer/scores.h"
#include "services/build/trainer/train_input.h"
#include "services/build/trainer/training_data.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using fieldloop::agent::v1::Impulse;
using Json = nlohmann::ordered_json;

constexpr int kMaxFolds = 4;
constexpr std::uint64_t kModelStream = 0;  // Folds take the streams behind it.

std::vector<std::size_t> AllOf(std::size_t count) {
  std::vector<std::size_t> indices(count);
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  return indices;
}

absl::StatusOr<TrainInput> ReadTrainInput(const TrainerOptions& options) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string json, ReadFile(options.info_file));
  FIELDLOOP_ASSIGN_OR_RETURN(TrainInput input, ParseTrainInput(json));
  if (options.epochs.has_value()) {
    if (*options.epochs < 1 || *options.epochs > 1000) {
      return absl::InvalidArgumentError(
          absl::StrCat("--epochs: got ", *options.epochs, ", want 1 to 1000"));
    }
    input.learning.epochs = *options.epochs;
  }
  if (options.learning_rate.has_value()) {
    if (!(*options.learning_rate > 0 && *options.learning_rate <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--learning-rate: got ", *options.learning_rate, ", want above 0, at most 1"));
    }
    input.learning.learning_rate = *options.learning_rate;
  }
  return input;
}

// Predictions of models that are trained like the final one, each without the windows it predicts.
absl::StatusOr<std::vector<HeldOutPrediction>> PredictHeldOut(const TrainInput& input,
                                                              const LabelledWindows& train,
                                                              const TrainingFeatures& features,
                                                              Progress& progress) {
  const std::vector<int> folds = AssignFolds(train.groups, kMaxFolds);
  const int fold_count = *std::max_element(folds.begin(), folds.end()) + 1;
  std::vector<HeldOutPrediction> predictions;
  for (int fold = 0; fold < fold_count; ++fold) {
    progress.Activity(
        absl::StrCat("Training without held-out part ", fold + 1, " of ", fold_count));
    std::vector<std::size_t> kept;
    std::vector<std::size_t> held_out;
    for (std::size_t window = 0; window < folds.size(); ++window) {
      (folds[window] == fold ? held_out : kept).push_back(window);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(
        const FittedModel fitted,
        Fit(input, train, features, kept, input.learning.epochs,
            kModelStream + 1 + static_cast<std::uint64_t>(fold), [](const EpochResult&) {}));
    Impulse impulse = input.impulse;
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> model,
                               Int8Model::Open(ToFile(fitted, impulse)));
    for (const std::size_t window : held_out) {
      FIELDLOOP_ASSIGN_OR_RETURN(const fl_inference_t inference,
                                 model->Run(train.windows.row(window)));
      predictions.push_back({.label = train.labels[window],
                             .predicted = static_cast<int>(inference.predicted_class),
                             .confidence = inference.confidence,
                             .novelty = inference.novelty});
    }
  }
  return predictions;
}

int ArgMax(const std::vector<float>& values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Scores of the network before it was quantised.
absl::StatusOr<Scores> ScoreFloat(const FittedModel& model, FeatureExtractor& extractor,
                                  const LabelledWindows& test, std::size_t classes) {
  Scores scores(classes);
  FeatureTable features(1, extractor.feature_count());
  for (std::size_t window = 0; window < test.size(); ++window) {
    if (const absl::Status status = extractor.Compute(test.windows.row(window), features.row(0));
        !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("windows_test.npy: row ", window, ": ", status.message()));
    }
    const FeatureTable z = Standardise(model.standardisation, features, {0});
    scores.Add(test.labels[window], ArgMax(RunLayers(model.network, z.row(0)).back()));
  }
  return scores;
}

absl::StatusOr<Scores> ScoreInt8(Int8Model& model, const LabelledWindows& test,
                                 std::size_t classes) {
  Scores scores(classes);
  for (std::size_t window = 0; window < test.size(); ++window) {
    FIELDLOOP_ASSIGN_OR_RETURN(const fl_inference_t inference, model.Run(test.windows.row(window)));
    scores.Add(test.labels[window], static_cast<int>(inference.predicted_class));
  }
  return scores;
}

Json Overall(const Scores& scores) {
  return {{"accuracy", scores.accuracy()}, {"balanced_accuracy", scores.balanced_accuracy()}};
}

Json WithRecalls(const Scores& scores, const std::vector<std::string>& classes) {
  Json json = Overall(scores);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (scores.occurs(i)) {
      json["recall/" + classes[i]] = scores.recall(i);
    }
  }
  return json;
}

}  // namespace

absl::Status Train(const TrainerOptions& options, const Clock& clock, Progress& progress) {
  const absl::Time start = clock.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainInput input, ReadTrainInput(options));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<FeatureExtractor> extractor,
                             FeatureExtractor::Open(input.impulse));
  const std::vector<std::string> names = FeatureNames(input.impulse);
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::size_t> channels,
                             FindFeatures(input.reference_channels, names));
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainingData data,
                             ReadTrainingData(options.data_directory, input));
  const LabelledWindows& train = data.train;
  const std::size_t classes = input.classes.size();

  progress.Activity(absl::StrCat("Computing features of ", train.size(), " windows"));
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainingFeatures features,
                             ComputeTrainingFeatures(input, train, *extractor));

  progress.Activity(absl::StrCat("Training on ", features.table.rows, " windows"));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const FittedModel fitted,
      Fit(input, train, features, AllOf(train.size()), input.learning.epochs, kModelStream,
          [&](const EpochResult& result) { progress.Epoch(result, input.learning.epochs); }));

  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<HeldOutPrediction> predictions,
                             PredictHeldOut(input, train, features, progress));
  Scores held_out(classes);
  for (const HeldOutPrediction& prediction : predictions) {
    held_out.Add(prediction.label, prediction.predicted);
  }

  progress.Activity("Quantising and checking");
  std::vector<std::size_t> originals = AllOf(train.size());
  for (std::size_t& row : originals) {
    row *= features.rows_per_window;
  }
  const FeatureTable z = Standardise(fitted.standardisation, features.table, originals);
  if (channels.empty()) {
    channels = ChooseFeatures(z, train.labels, classes);
  }
  Impulse impulse = input.impulse;
  DescribeReference(predictions, z, channels, names, impulse);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> untested,
                             Int8Model::Open(ToFile(fitted, impulse)));
  FIELDLOOP_RETURN_IF_ERROR(AddSelfTest(*untested, train.windows, train.labels, impulse));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> model,
                             Int8Model::Open(ToFile(fitted, impulse)));
  FIELDLOOP_RETURN_IF_ERROR(model->SelfTest());

  Json metrics;
  if (data.test.size() > 0) {
    FIELDLOOP_ASSIGN_OR_RETURN(const Scores float_scores,
                               ScoreFloat(fitted, *extractor, data.test, classes));
    FIELDLOOP_ASSIGN_OR_RETURN(const Scores int8_scores, ScoreInt8(*model, data.test, classes));
    metrics["float"] = Overall(float_scores);
    metrics["int8"] = WithRecalls(int8_scores, input.classes);
  }
  metrics["held_out"] = WithRecalls(held_out, input.classes);
  metrics["train_windows"] = train.size();
  metrics["test_windows"] = data.test.size();
  metrics["feature_count"] = extractor->feature_count();
  metrics["parameters"] = fitted.network.parameter_count();
  metrics["arena_bytes"] = model->arena_bytes();
  metrics["seconds"] = absl::ToDoubleSeconds(clock.Now() - start);
  FIELDLOOP_RETURN_IF_ERROR(
      WriteFile(absl::StrCat(options.out_directory, "/model.tflite"), model->file()));
  FIELDLOOP_RETURN_IF_ERROR(
      WriteFile(absl::StrCat(options.out_directory, "/metrics.json"),
                metrics.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
  progress.Activity(absl::StrCat("Wrote a model of ", model->file().size(), " bytes"));
  return absl::OkStatus();
}

}  // namespace fieldloop::build::trainer
