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
#include "services/build/trainer/anomaly.h"
#include "services/build/trainer/architecture.h"
#include "services/build/trainer/file.h"
#include "services/build/trainer/fitting.h"
#include "services/build/trainer/network.h"
#include "services/build/trainer/parallel.h"
#include "services/build/trainer/parent_model.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/scores.h"
#include "services/build/trainer/search.h"
#include "services/build/trainer/train_input.h"
#include "services/build/trainer/training_data.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using fieldloop::agent::v1::Impulse;
using Json = nlohmann::ordered_json;

constexpr int kMaxFolds = 4;
// Streams of the seed: the model's, behind it those of the held-out parts, and the same for other
// purposes.
constexpr std::uint64_t kModelStream = 0;
constexpr std::uint64_t kValidationStreams = 1U << 16;
constexpr std::uint64_t kAnomalyStreams = 2U << 16;

std::vector<std::size_t> AllOf(std::size_t count) {
  std::vector<std::size_t> indices(count);
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  return indices;
}

// Rows of the features of windows, without their copies.
std::vector<std::size_t> OriginalRows(const TrainingFeatures& features,
                                      std::vector<std::size_t> windows) {
  for (std::size_t& window : windows) {
    window *= features.rows_per_window;
  }
  return windows;
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

absl::StatusOr<std::optional<ParentModel>> ReadParent(const TrainerOptions& options,
                                                      const TrainInput& input,
                                                      const Network& description) {
  if (input.parent_model.empty()) {
    return std::nullopt;
  }
  if (input.learning.budget.has_value()) {
    return absl::InvalidArgumentError(
        "train_input.json: learning.budget: got a budget and a parent model, want one of them: a "
        "search looks for another network than the parent's");
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::string file,
      ReadFile(absl::StrCat(options.data_directory, "/", input.parent_model)));
  FIELDLOOP_ASSIGN_OR_RETURN(ParentModel parent, ReadParentModel(file, description, input.impulse));
  return parent;
}

// What the final model and those without held-out parts are trained by.
struct Plan {
  FittingContext context;
  Network description;
  // Columns of the anomaly block; empty without one.
  std::vector<std::size_t> anomaly_features;
  int threads = 1;
};

// Splits off windows to stop early by, if the recipe asks for it.
FitOptions OptionsFor(const Plan& plan, const std::vector<std::size_t>& windows,
                      std::uint64_t stream) {
  FitOptions options{.windows = windows, .stream = stream, .validation = {}};
  const TrainInput& input = plan.context.input;
  if (input.learning.early_stopping_patience > 0) {
    Random random(input.seed, kValidationStreams + stream);
    ValidationSplit split =
        SplitForValidation(plan.context.train, windows, input.learning.validation_share, random);
    options.windows = std::move(split.training);
    options.validation = std::move(split.validation);
  }
  return options;
}

// Fits the anomaly block to the original windows `windows`.
fieldloop::agent::v1::Anomaly FitAnomalyTo(const Plan& plan, const FittedModel& model,
                                           const std::vector<std::size_t>& windows,
                                           std::uint64_t stream) {
  const FittingContext& context = plan.context;
  Random random(context.input.seed, kAnomalyStreams + stream);
  return FitAnomaly(*context.input.learning.anomaly,
                    Standardise(model.standardisation, context.features.table,
                                OriginalRows(context.features, windows)),
                    plan.anomaly_features, random);
}

// Trains without the windows of a part, and predicts them.
absl::StatusOr<std::vector<HeldOutPrediction>> PredictPart(const Plan& plan,
                                                           const std::vector<int>& parts,
                                                           int part) {
  const FittingContext& context = plan.context;
  std::vector<std::size_t> kept;
  std::vector<std::size_t> held_out;
  for (std::size_t window = 0; window < parts.size(); ++window) {
    (parts[window] == part ? held_out : kept).push_back(window);
  }
  const std::uint64_t stream = kModelStream + 1 + static_cast<std::uint64_t>(part);
  // A parent has seen what is held out, so that these models begin anew.
  FIELDLOOP_ASSIGN_OR_RETURN(
      const FittedModel fitted,
      Fit(context, plan.description, OptionsFor(plan, kept, stream), [](const EpochResult&) {}));
  Impulse impulse = context.input.impulse;
  if (!plan.anomaly_features.empty()) {
    *impulse.mutable_anomaly() = FitAnomalyTo(plan, fitted, kept, stream);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Int8Model> model,
                             Int8Model::Open(ToFile(fitted, impulse)));
  std::vector<HeldOutPrediction> predictions;
  for (const std::size_t window : held_out) {
    FIELDLOOP_ASSIGN_OR_RETURN(const fl_inference_t inference,
                               model->Run(context.train.windows.row(window)));
    predictions.push_back({.label = context.train.labels[window],
                           .predicted = static_cast<int>(inference.predicted_class),
                           .confidence = inference.confidence,
                           .novelty = inference.novelty,
                           .anomaly = inference.anomaly});
  }
  return predictions;
}

struct TrainedModels {
  FittedModel model;
  // Of models that are trained like it, each without the windows it predicts.
  std::vector<HeldOutPrediction> predictions;
};

absl::StatusOr<TrainedModels> TrainAll(const Plan& plan, Progress& progress) {
  const LabelledWindows& train = plan.context.train;
  const std::vector<int> parts = AssignFolds(train.groups, kMaxFolds);
  const auto part_count =
      static_cast<std::size_t>(*std::max_element(parts.begin(), parts.end())) + 1;
  TrainedModels trained;
  std::vector<std::vector<HeldOutPrediction>> predictions(part_count);
  FIELDLOOP_RETURN_IF_ERROR(
      RunInParallel(plan.threads, 1 + part_count, [&](std::size_t task) -> absl::Status {
        if (task == 0) {
          FitOptions options = OptionsFor(plan, AllOf(train.size()), kModelStream);
          options.from_parent = plan.context.parent != nullptr;
          FIELDLOOP_ASSIGN_OR_RETURN(
              trained.model,
              Fit(plan.context, plan.description, options, [&](const EpochResult& result) {
                progress.Epoch(result, plan.context.input.learning.epochs);
              }));
          return absl::OkStatus();
        }
        progress.Activity(
            absl::StrCat("Training without held-out part ", task, " of ", part_count));
        FIELDLOOP_ASSIGN_OR_RETURN(predictions[task - 1],
                                   PredictPart(plan, parts, static_cast<int>(task) - 1));
        return absl::OkStatus();
      }));
  for (const std::vector<HeldOutPrediction>& of_part : predictions) {
    trained.predictions.insert(trained.predictions.end(), of_part.begin(), of_part.end());
  }
  return trained;
}

int ArgMax(const std::vector<float>& values) {
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Scores of the network before it was quantised.
absl::StatusOr<Scores> ScoreFloat(const FittedModel& model, FeatureExtractor& extractor,
                                  const LabelledWindows& test, std::size_t classes) {
  Scores scores(classes);
  NetworkRunner runner(model.network);
  FeatureTable features(1, extractor.feature_count());
  for (std::size_t window = 0; window < test.size(); ++window) {
    if (const absl::Status status = extractor.Compute(test.windows.row(window), features.row(0));
        !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("windows_test.npy: row ", window, ": ", status.message()));
    }
    const FeatureTable z = Standardise(model.standardisation, features, {0});
    scores.Add(test.labels[window], ArgMax(runner.Run(z.row(0)).back()));
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

// Share of the weights that are another byte than in the parent.
double ChangedWeights(const QuantisedNetwork& parent, const QuantisedNetwork& child) {
  std::size_t changed = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < parent.layers.size(); ++i) {
    const std::vector<std::int8_t>& before = parent.layers[i].weights;
    const std::vector<std::int8_t>& after = child.layers[i].weights;
    count += before.size();
    for (std::size_t j = 0; j < before.size(); ++j) {
      changed += before[j] != after[j] ? 1U : 0U;
    }
  }
  return static_cast<double>(changed) / static_cast<double>(count);
}

std::string ToText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
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
  FIELDLOOP_ASSIGN_OR_RETURN(TrainInput input, ReadTrainInput(options));
  const LearningOptions& learning = input.learning;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<FeatureExtractor> extractor,
                             FeatureExtractor::Open(input.impulse));
  const std::vector<std::string> names = FeatureNames(input.impulse);
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<std::size_t> channels,
                             FindFeatures(input.reference_channels, names));
  FIELDLOOP_ASSIGN_OR_RETURN(
      const FeatureShape shape,
      ShapeOfFeatures(input.impulse, extractor->feature_count(), learning.network.kind));
  const std::size_t classes = input.classes.size();
  input.learning.network = CompleteNetwork(learning.network, shape);
  FIELDLOOP_ASSIGN_OR_RETURN(Network description,
                             DescribeNetwork(learning.network, shape, classes));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<ParentModel> parent,
                             ReadParent(options, input, description));
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainingData data,
                             ReadTrainingData(options.data_directory, input));
  const LabelledWindows& train = data.train;

  progress.Activity(absl::StrCat("Computing features of ", train.size(), " windows"));
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainingFeatures features,
                             ComputeTrainingFeatures(input, train, options.threads));
  const FittingContext context{.input = input,
                               .train = train,
                               .features = features,
                               .parent = parent.has_value() ? &*parent : nullptr};

  std::vector<Candidate> candidates;
  if (learning.budget.has_value()) {
    progress.Activity("Searching for a network within the budget");
    FIELDLOOP_ASSIGN_OR_RETURN(candidates,
                               SearchNetworks(context, shape, *learning.budget, options.threads));
    for (const Candidate& candidate : candidates) {
      progress.Candidate(candidate);
      if (candidate.chosen) {
        FIELDLOOP_ASSIGN_OR_RETURN(description, DescribeNetwork(candidate.network, shape, classes));
      }
    }
  }

  const std::vector<std::size_t> all = AllOf(train.size());
  Plan plan{.context = context,
            .description = std::move(description),
            .anomaly_features = {},
            .threads = options.threads};
  if (learning.anomaly.has_value()) {
    plan.anomaly_features =
        ChooseFeatures(TakeRows(features.table, OriginalRows(features, all)), train.labels, classes,
                       static_cast<std::size_t>(learning.anomaly->features));
    if (plan.anomaly_features.empty()) {
      return absl::InvalidArgumentError(
          "train_input.json: learning.anomaly: got windows that are all equal, want a feature that "
          "tells the classes apart");
    }
  }
  progress.Activity(absl::StrCat("Training on ", features.table.rows, " windows"));
  FIELDLOOP_ASSIGN_OR_RETURN(const TrainedModels trained, TrainAll(plan, progress));
  const FittedModel& fitted = trained.model;
  Scores held_out(classes);
  for (const HeldOutPrediction& prediction : trained.predictions) {
    held_out.Add(prediction.label, prediction.predicted);
  }

  progress.Activity("Quantising and checking");
  const FeatureTable z =
      Standardise(fitted.standardisation, features.table, OriginalRows(features, all));
  if (channels.empty()) {
    channels = ChooseFeatures(z, train.labels, classes,
                              kMaxFeatureChannels - (learning.anomaly.has_value() ? 1 : 0));
  }
  Impulse impulse = input.impulse;
  if (learning.anomaly.has_value()) {
    *impulse.mutable_anomaly() = FitAnomalyTo(plan, fitted, all, kModelStream);
    std::vector<float> scores;
    for (const HeldOutPrediction& prediction : trained.predictions) {
      scores.push_back(prediction.anomaly);
    }
    impulse.mutable_anomaly()->set_threshold(
        AnomalyThreshold(std::move(scores), learning.anomaly->quantile));
  }
  DescribeReference(trained.predictions, z, channels, names, impulse);
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
  FIELDLOOP_ASSIGN_OR_RETURN(metrics["cortex_m4_instructions"], model->CountInstructions());
  if (parent.has_value()) {
    metrics["parent"]["weights_changed"] = ChangedWeights(parent->network, fitted.quantised);
  }
  metrics["seconds"] = absl::ToDoubleSeconds(clock.Now() - start);
  FIELDLOOP_RETURN_IF_ERROR(
      WriteFile(absl::StrCat(options.out_directory, "/model.tflite"), model->file()));
  FIELDLOOP_RETURN_IF_ERROR(
      WriteFile(absl::StrCat(options.out_directory, "/metrics.json"), ToText(metrics)));
  if (!candidates.empty()) {
    Json table = Json::array();
    for (const Candidate& candidate : candidates) {
      table.push_back(ToJson(candidate));
    }
    FIELDLOOP_RETURN_IF_ERROR(
        WriteFile(absl::StrCat(options.out_directory, "/candidates.json"), ToText(table)));
  }
  progress.Activity(absl::StrCat("Wrote a model of ", model->file().size(), " bytes"));
  return absl::OkStatus();
}

}  // namespace fieldloop::build::trainer
