// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/fitting.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/build/trainer/augmentation.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/tflite_writer.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

// Streams of the seed below this one are taken by Fit.
constexpr std::uint64_t kAugmentationStream = 1U << 16;

// Where a failure is in the training windows, in one sentence.
absl::Status AtRow(std::size_t row, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("windows_train.npy: row ", row, ": ", status.message()));
}

}  // namespace

absl::StatusOr<TrainingFeatures> ComputeTrainingFeatures(const TrainInput& input,
                                                         const LabelledWindows& train,
                                                         FeatureExtractor& extractor) {
  const AugmentationOptions& augmentation = input.learning.augmentation;
  const auto copies = static_cast<std::size_t>(augmentation.copies);
  TrainingFeatures features;
  features.rows_per_window = 1 + copies;
  features.table = FeatureTable(train.size() * features.rows_per_window, extractor.feature_count());
  // All originals first: the noise of copies depends on every window, so that one bad window would
  // spoil the copies of others.
  for (std::size_t window = 0; window < train.size(); ++window) {
    float* row = features.table.row(window * features.rows_per_window);
    if (const absl::Status status = extractor.Compute(train.windows.row(window), row);
        !status.ok()) {
      return AtRow(window, status);
    }
  }
  const Augmenter augmenter(
      augmentation, static_cast<std::size_t>(input.impulse.window().axes_size()), train.windows);
  Random random(input.seed, kAugmentationStream);
  std::vector<float> copy(train.windows.columns());
  for (std::size_t window = 0; window < train.size(); ++window) {
    for (std::size_t i = 1; i <= copies; ++i) {
      augmenter.MakeCopy(train.windows.row(window), random, copy.data());
      float* row = features.table.row(window * features.rows_per_window + i);
      if (const absl::Status status = extractor.Compute(copy.data(), row); !status.ok()) {
        return AtRow(window, status);
      }
    }
  }
  return features;
}

std::vector<float> WindowWeights(const LearningOptions& learning, std::size_t classes,
                                 const LabelledWindows& train,
                                 const std::vector<std::size_t>& windows) {
  std::vector<double> counts(classes, 0.0);
  for (const std::size_t window : windows) {
    counts[static_cast<std::size_t>(train.labels[window])] += 1;
  }
  std::vector<double> weights;
  double uploaded = 0;
  double device = 0;
  for (const std::size_t window : windows) {
    const auto label = static_cast<std::size_t>(train.labels[window]);
    weights.push_back(learning.balance_classes ? 1.0 / counts[label] : 1.0);
    (train.from_device[window] ? device : uploaded) += weights.back();
  }
  if (learning.device_weight > 0 && device > 0 && uploaded > 0) {
    const double factor = learning.device_weight * uploaded / device;
    for (std::size_t i = 0; i < windows.size(); ++i) {
      weights[i] *= train.from_device[windows[i]] ? factor : 1.0;
    }
    device *= factor;
  }
  const double mean = (uploaded + device) / static_cast<double>(windows.size());
  std::vector<float> result;
  result.reserve(weights.size());
  for (const double weight : weights) {
    result.push_back(static_cast<float>(weight / mean));
  }
  return result;
}

absl::StatusOr<FittedModel> Fit(const TrainInput& input, const LabelledWindows& train,
                                const TrainingFeatures& features,
                                const std::vector<std::size_t>& windows, int epochs,
                                std::uint64_t stream,
                                const std::function<void(const EpochResult&)>& on_epoch) {
  const LearningOptions& learning = input.learning;
  const std::vector<float> window_weights =
      WindowWeights(learning, input.classes.size(), train, windows);
  DenseTrainingSet set;
  set.classes = input.classes.size();
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    for (std::size_t copy = 0; copy < features.rows_per_window; ++copy) {
      rows.push_back(windows[i] * features.rows_per_window + copy);
      set.labels.push_back(train.labels[windows[i]]);
      set.weights.push_back(window_weights[i]);
    }
  }
  FittedModel model;
  model.standardisation = FitStandardisation(features.table, rows);
  set.features = Standardise(model.standardisation, features.table, rows);
  FIELDLOOP_ASSIGN_OR_RETURN(model.network,
                             TrainDenseNetwork(set,
                                               {.hidden_units = learning.dense_units,
                                                .epochs = epochs,
                                                .learning_rate = learning.learning_rate,
                                                .batch_size = learning.batch_size,
                                                .dropout = learning.dropout,
                                                .weight_decay = learning.weight_decay,
                                                .seed = input.seed,
                                                .stream = stream},
                                               on_epoch));
  model.quantised = Quantise(model.network, set.features);
  return model;
}

std::string ToFile(const FittedModel& model, fieldloop::agent::v1::Impulse& impulse) {
  ToProto(model.standardisation, *impulse.mutable_standardisation());
  return WriteTflite(model.quantised, impulse.SerializeAsString());
}

}  // namespace fieldloop::build::trainer
