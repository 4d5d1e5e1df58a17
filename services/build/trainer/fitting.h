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
#include "services/build/trainer/dense_network.h"
#include "services/build/trainer/dense_training.h"
#include "services/build/packaging/feature_extractor.h"
#include "services/build/packaging/feature_table.h"
#include "services/build/trainer/quantisation.h"
#include "services/build/packaging/standardisation.h"
#include "services/build/trainer/train_input.h"
#include "services/build/trainer/training_data.h"

namespace fieldloop::build::trainer {

// Features of the training windows and of their changed copies, before standardisation: the rows
// window * (1 + copies) to window * (1 + copies) + copies, the original first.
struct TrainingFeatures {
  FeatureTable table;
  std::size_t rows_per_window = 1;
};

// Computes them. INVALID_ARGUMENT names the window.
absl::StatusOr<TrainingFeatures> ComputeTrainingFeatures(const TrainInput& input,
                                                         const LabelledWindows& train,
                                                         FeatureExtractor& extractor);

// A network and what it needs to run.
struct FittedModel {
  Standardisation standardisation;
  DenseNetwork network;
  QuantisedNetwork quantised;
};

// Weights of the training windows `windows` in the loss, mean 1: by class and by source, as
// fieldloop.build.v1.Learning says.
std::vector<float> WindowWeights(const LearningOptions& learning, std::size_t classes,
                                 const LabelledWindows& train,
                                 const std::vector<std::size_t>& windows);

// Standardises, trains and quantises on the training windows `windows` and their copies. `stream`
// tells runs with the same seed apart. Errors as TrainDenseNetwork.
absl::StatusOr<FittedModel> Fit(const TrainInput& input, const LabelledWindows& train,
                                const TrainingFeatures& features,
                                const std::vector<std::size_t>& windows, int epochs,
                                std::uint64_t stream,
                                const std::function<void(const EpochResult&)>& on_epoch);

// Returns the .tflite file of `model` with `impulse` as its metadata, whose standardisation is set.
std::string ToFile(const FittedModel& model, fieldloop::agent::v1::Impulse& impulse);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_FITTING_H_
