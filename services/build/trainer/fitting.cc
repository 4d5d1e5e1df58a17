// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/fitting.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/build/trainer/augmentation.h"
#include "services/build/trainer/parallel.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/tflite_writer.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

// Streams of the seed below this one are taken by fits; from the others on each window has one.
constexpr std::uint64_t kAugmentationStream = std::uint64_t{1} << 32;
constexpr std::uint64_t kMaskStream = std::uint64_t{2} << 32;
// Windows whose features one task computes.
constexpr std::size_t kChunk = 64;
// Rows from which the ranges of activations are taken; more hardly widen them.
constexpr std::size_t kMaxRangeRows = 2000;

// Where a failure is in the training windows, in one sentence.
absl::Status AtRow(std::size_t row, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("windows_train.npy: row ", row, ": ", status.message()));
}

// At most kMaxRangeRows of `table`, evenly spread.
FeatureTable SomeRows(const FeatureTable& table) {
  std::vector<std::size_t> rows(std::min(table.rows, kMaxRangeRows));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = i * table.rows / rows.size();
  }
  return TakeRows(table, rows);
}

TrainingSet MakeSet(const FittingContext& context, const Standardisation& standardisation,
                    const std::vector<std::size_t>& windows, std::size_t rows_of_each) {
  const TrainingFeatures& features = context.features;
  const LearningOptions& learning = context.input.learning;
  const std::vector<float> weights =
      WindowWeights(learning, context.input.classes.size(), context.train, windows);
  const FeatureMasker masker(learning.augmentation, context.input.impulse);
  TrainingSet set;
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    for (std::size_t copy = 0; copy < rows_of_each; ++copy) {
      rows.push_back(windows[i] * features.rows_per_window + copy);
      set.labels.push_back(context.train.labels[windows[i]]);
      set.weights.push_back(weights[i]);
    }
  }
  set.features = Standardise(standardisation, features.table, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] % features.rows_per_window != 0) {
      Random random(context.input.seed, kMaskStream + rows[i]);
      masker.Mask(random, set.features.row(i));
    }
  }
  return set;
}

}  // namespace

absl::StatusOr<TrainingFeatures> ComputeTrainingFeatures(const TrainInput& input,
                                                         const LabelledWindows& train,
                                                         int threads) {
  const AugmentationOptions& augmentation = input.learning.augmentation;
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<FeatureExtractor> extractor,
                             FeatureExtractor::Open(input.impulse));
  TrainingFeatures features;
  features.rows_per_window = 1 + static_cast<std::size_t>(augmentation.copies);
  features.table =
      FeatureTable(train.size() * features.rows_per_window, extractor->feature_count());
  const Augmenter augmenter(
      augmentation, static_cast<std::size_t>(input.impulse.window().axes_size()), train.windows);
  const auto compute = [&](std::size_t first_copy, std::size_t last_copy) {
    return RunInParallel(
        threads, (train.size() + kChunk - 1) / kChunk, [&](std::size_t chunk) -> absl::Status {
          FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<FeatureExtractor> own,
                                     FeatureExtractor::Open(input.impulse));
          std::vector<float> copy(train.windows.columns());
          for (std::size_t window = chunk * kChunk;
               window < std::min((chunk + 1) * kChunk, train.size()); ++window) {
            Random random(input.seed, kAugmentationStream + window);
            for (std::size_t i = first_copy; i < last_copy; ++i) {
              const float* signal = train.windows.row(window);
              if (i > 0) {
                augmenter.MakeCopy(signal, random, copy.data());
                signal = copy.data();
              }
              float* row = features.table.row(window * features.rows_per_window + i);
              if (const absl::Status status = own->Compute(signal, row); !status.ok()) {
                return AtRow(window, status);
              }
            }
          }
          return absl::OkStatus();
        });
  };
  // All originals first: the noise of copies depends on every window, so that one bad window would
  // spoil the copies of others.
  FIELDLOOP_RETURN_IF_ERROR(compute(0, 1));
  FIELDLOOP_RETURN_IF_ERROR(compute(1, features.rows_per_window));
  return features;
}

ValidationSplit SplitForValidation(const LabelledWindows& train,
                                   const std::vector<std::size_t>& windows, double share,
                                   Random& random) {
  std::map<std::int64_t, std::vector<std::size_t>> members;
  std::map<int, std::size_t> left;  // Windows of each class on the training side.
  for (const std::size_t window : windows) {
    members[train.groups[window]].push_back(window);
    ++left[train.labels[window]];
  }
  std::vector<std::int64_t> order;
  for (const auto& [group, of_group] : members) {
    order.push_back(group);
  }
  random.Shuffle(order);
  const double wanted = share * static_cast<double>(order.size());
  std::size_t taken = 0;
  ValidationSplit split;
  for (const std::int64_t group : order) {
    std::map<int, std::size_t> after = left;
    for (const std::size_t window : members[group]) {
      --after[train.labels[window]];
    }
    const bool spared = std::all_of(after.begin(), after.end(),
                                    [](const auto& of_class) { return of_class.second > 0; });
    const bool take = spared && (taken == 0 || static_cast<double>(taken) + 0.5 <= wanted);
    taken += take ? 1 : 0;
    left = take ? after : left;
    std::vector<std::size_t>& side = take ? split.validation : split.training;
    side.insert(side.end(), members[group].begin(), members[group].end());
  }
  std::sort(split.training.begin(), split.training.end());
  std::sort(split.validation.begin(), split.validation.end());
  return split;
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

absl::StatusOr<FittedModel> Fit(const FittingContext& context, const Network& description,
                                const FitOptions& options,
                                const std::function<void(const EpochResult&)>& on_epoch) {
  const LearningOptions& learning = context.input.learning;
  const TrainingFeatures& features = context.features;
  FittedModel model;
  if (context.parent != nullptr) {
    model.standardisation = context.parent->standardisation;
  } else {
    std::vector<std::size_t> rows;
    for (const std::size_t window : options.windows) {
      for (std::size_t copy = 0; copy < features.rows_per_window; ++copy) {
        rows.push_back(window * features.rows_per_window + copy);
      }
    }
    model.standardisation = FitStandardisation(features.table, rows);
  }
  const QuantisedNetwork* start = options.from_parent ? &context.parent->network : nullptr;
  const TrainingSet set =
      MakeSet(context, model.standardisation, options.windows, features.rows_per_window);
  const TrainingSet validation =
      MakeSet(context, model.standardisation, options.validation, /*rows_of_each=*/1);
  FIELDLOOP_ASSIGN_OR_RETURN(model.network,
                             TrainNetwork(description, set, validation,
                                          {.epochs = learning.epochs,
                                           .learning_rate = learning.learning_rate,
                                           .batch_size = learning.batch_size,
                                           .dropout = learning.dropout,
                                           .weight_decay = learning.weight_decay,
                                           .patience = learning.early_stopping_patience,
                                           .seed = context.input.seed,
                                           .stream = options.stream,
                                           .parent = start},
                                          on_epoch));
  model.quantised = start == nullptr ? Quantise(model.network, SomeRows(set.features))
                                     : QuantiseLike(*start, model.network);
  return model;
}

std::string ToFile(const FittedModel& model, fieldloop::agent::v1::Impulse& impulse) {
  ToProto(model.standardisation, *impulse.mutable_standardisation());
  return WriteTflite(model.quantised, impulse.SerializeAsString());
}

}  // namespace fieldloop::build::trainer
