// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_FITTING_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_FITTING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "absl/status/statusor.h"
#include "services/build/packaging/feature_extractor.h"
#include "services/build/packaging/feature_table.h"
#include "services/build/packaging/standardisation.h"
#include "services/build/trainer/network.h"
#include "services/build/trainer/parent_model.h"
#include "services/build/trainer/quantisation.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/train_input.h"
#include "services/build/trainer/training.h"
#include "services/build/trainer/training_data.h"

namespace fieldloop::build::trainer {

// Features of the training windows and of their changed copies, before standardisation: the rows
// window * (1 + copies) to window * (1 + copies) + copies, the original first.
struct TrainingFeatures {
  FeatureTable table;
  std::size_t rows_per_window = 1;
};

// Computes them on this many threads. INVALID_ARGUMENT names the window.
absl::StatusOr<TrainingFeatures> ComputeTrainingFeatures(const TrainInput& input,
                                                         const LabelledWindows& train, int threads);

// A network and what it needs to run.
struct FittedModel {
  Standardisation standardisation;
  Network network;
  QuantisedNetwork quantised;
};

// Everything that fits of one run have in common; what it points to outlives it.
struct FittingContext {
  const TrainInput& input;
  const LabelledWindows& train;
  const TrainingFeatures& features;
  // Of a warm start; null without one.
  const ParentModel* parent = nullptr;
};

// One fit.
struct FitOptions {
  // Indices of the training windows; their copies come with them.
  std::vector<std::size_t> windows;
  // Tells runs with the same seed apart.
  std::uint64_t stream = 0;
  // Windows to judge by; may be empty, and is while patience is 0.
  std::vector<std::size_t> validation;
  // Starts from the weights of the parent. Without, a parent gives its standardisation only.
  bool from_parent = false;
};

// Windows of a training side, split by group.
struct ValidationSplit {
  std::vector<std::size_t> training;
  std::vector<std::size_t> validation;
};

// Takes `share` of the groups of `windows` for validation, at random but at least one, and none
// that has the last window of a class. Of a single group it takes nothing.
ValidationSplit SplitForValidation(const LabelledWindows& train,
                                   const std::vector<std::size_t>& windows, double share,
                                   Random& random);

// Weights of the training windows `windows` in the loss, mean 1: by class and by source, as
// fieldloop.build.v1.Learning says.
std::vector<float> WindowWeights(const LearningOptions& learning, std::size_t classes,
                                 const LabelledWindows& train,
                                 const std::vector<std::size_t>& windows);

// Standardises, trains and quantises the network that `description` describes. Errors as
// TrainNetwork.
absl::StatusOr<FittedModel> Fit(const FittingContext& context, const Network& description,
                                const FitOptions& options,
                                const std::function<void(const EpochResult&)>& on_epoch);

// Returns the .tflite file of `model` with `impulse` as its metadata, whose standardisation is set.
std::string ToFile(const FittedModel& model, fieldloop::agent::v1::Impulse& impulse);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_FITTING_H_
