// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/training.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/trainer/architecture.h"
#include "services/build/trainer/parallel.h"
#include "services/build/trainer/quantisation.h"
#include "services/build/trainer/random.h"
#include "services/common/status/status_macros.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

// Exclusive or: no network without a hidden layer learns it.
TrainingSet ExclusiveOr() {
  TrainingSet set;
  set.features = FeatureTable(256, 2);
  Random random(1, 0);
  for (std::size_t row = 0; row < set.features.rows; ++row) {
    const std::size_t a = random.Below(2);
    const std::size_t b = random.Below(2);
    set.features.row(row)[0] = static_cast<float>(a == 0 ? -1.0 : 1.0);
    set.features.row(row)[1] = static_cast<float>(b == 0 ? -1.0 : 1.0);
    set.labels.push_back(a == b ? 0 : 1);
    set.weights.push_back(1);
  }
  return set;
}

TrainingOptions Options() {
  TrainingOptions options;
  options.epochs = 60;
  options.learning_rate = 0.02;
  options.batch_size = 32;
  return options;
}

Network EightHiddenUnits() {
  return *DescribeNetwork({.kind = NetworkKind::kDense, .conv_blocks = {}, .dense_units = {8}},
                          {.steps = 1, .width = 2}, 2);
}

absl::StatusOr<Network> TrainDense(const TrainingSet& set, const TrainingOptions& options) {
  return TrainNetwork(EightHiddenUnits(), set, {}, options, [](const EpochResult&) {});
}

int Predict(NetworkRunner& runner, const float* features) {
  const std::vector<float>& logits = runner.Run(features).back();
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Where in 12 steps of two channels a bump stands: rising or falling.
TrainingSet Bumps(std::uint64_t stream) {
  TrainingSet set;
  set.features = FeatureTable(240, 12 * 2);
  Random random(5, stream);
  for (std::size_t row = 0; row < set.features.rows; ++row) {
    const auto label = static_cast<int>(row % 2);
    const std::size_t place = random.Below(9);
    for (std::size_t i = 0; i < set.features.columns; ++i) {
      set.features.row(row)[i] = static_cast<float>(0.15 * random.Normal());
    }
    for (std::size_t i = 0; i < 3; ++i) {
      const auto height = static_cast<float>(label == 0 ? i : 2 - i);
      set.features.row(row)[2 * (place + i)] += height;
    }
    set.labels.push_back(label);
    set.weights.push_back(1);
  }
  return set;
}

Network Convolutions(NetworkKind kind) {
  return *DescribeNetwork(
      {.kind = kind,
       .conv_blocks = {{.filters = 8, .kernel = 3}, {.filters = 8, .kernel = 3, .stride = 2}},
       .dense_units = {}},
      {.steps = 12, .width = 2}, 2);
}

TrainingOptions ConvolutionOptions() {
  TrainingOptions options = Options();
  options.epochs = 12;
  return options;
}

double LossOf(const Network& network, const TrainingSet& set) {
  NetworkRunner runner(network);
  double loss = 0;
  for (std::size_t row = 0; row < set.features.rows; ++row) {
    const std::vector<float>& logits = runner.Run(set.features.row(row)).back();
    double sum = 0;
    for (const float logit : logits) {
      sum += std::exp(static_cast<double>(logit));
    }
    loss += std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(set.labels[row])]);
  }
  return loss / static_cast<double>(set.features.rows);
}

class ConvolutionTrainingTest : public ::testing::TestWithParam<NetworkKind> {};

TEST_P(ConvolutionTrainingTest, LearnsAShapeWhereverItStands) {
  const auto network = TrainNetwork(Convolutions(GetParam()), Bumps(0), {}, ConvolutionOptions(),
                                    [](const EpochResult&) {});
  ASSERT_THAT(network, IsOk());
  const TrainingSet other = Bumps(1);
  NetworkRunner runner(*network);
  std::size_t right = 0;
  for (std::size_t row = 0; row < other.features.rows; ++row) {
    right += Predict(runner, other.features.row(row)) == other.labels[row] ? 1U : 0U;
  }
  EXPECT_GT(right, other.features.rows * 9 / 10);
}

TEST_P(ConvolutionTrainingTest, TheFoldedNetworkGivesTheLossOfTheNormalisedOne) {
  // libtorch judges the validation set with the normalisation beside the weights.
  const TrainingSet validation = Bumps(1);
  double last = 0;
  const auto network =
      TrainNetwork(Convolutions(GetParam()), Bumps(0), validation, ConvolutionOptions(),
                   [&](const EpochResult& result) { last = *result.validation_loss; });
  ASSERT_THAT(network, IsOk());
  EXPECT_NEAR(LossOf(*network, validation), last, 1e-5);
}

TEST_P(ConvolutionTrainingTest, TheSameSeedGivesTheSameBitsAlsoOnSeveralThreads) {
  const TrainingSet set = Bumps(0);
  TrainingOptions options = ConvolutionOptions();
  options.epochs = 2;
  options.dropout = 0.3;
  std::vector<Network> networks(4);
  ASSERT_THAT(RunInParallel(4, networks.size(),
                            [&](std::size_t i) -> absl::Status {
                              FIELDLOOP_ASSIGN_OR_RETURN(
                                  networks[i], TrainNetwork(Convolutions(GetParam()), set, {},
                                                            options, [](const EpochResult&) {}));
                              return absl::OkStatus();
                            }),
              IsOk());
  for (const Network& network : networks) {
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      EXPECT_EQ(network.layers[i].weights, networks[0].layers[i].weights);
      EXPECT_EQ(network.layers[i].bias, networks[0].layers[i].bias);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ConvolutionTrainingTest,
                         ::testing::Values(NetworkKind::kConv1d, NetworkKind::kConv2d),
                         [](const auto& param_info) {
                           return param_info.param == NetworkKind::kConv1d ? "OneDimension"
                                                                           : "TwoDimensions";
                         });

TEST(TrainingTest, StopsEarlyAndTakesTheBestWeights) {
  // The validation set says the opposite: the longer one learns, the worse.
  const TrainingSet set = ExclusiveOr();
  TrainingSet validation = set;
  for (int& label : validation.labels) {
    label = 1 - label;
  }
  TrainingOptions options = Options();
  options.patience = 3;
  std::vector<double> losses;
  const auto network =
      TrainNetwork(EightHiddenUnits(), set, validation, options,
                   [&](const EpochResult& result) { losses.push_back(*result.validation_loss); });
  ASSERT_THAT(network, IsOk());
  const auto best = std::min_element(losses.begin(), losses.end());
  EXPECT_LT(losses.size(), 60);
  EXPECT_EQ(losses.end() - best, 4);
  EXPECT_NEAR(LossOf(*network, validation), *best, 1e-5);
}

TEST(TrainingTest, WithAParentItStartsFromItsWeightsAndStaysWithinItsScales) {
  const TrainingSet set = ExclusiveOr();
  const auto first = TrainDense(set, Options());
  ASSERT_THAT(first, IsOk());
  const QuantisedNetwork parent = Quantise(*first, set.features);
  TrainingOptions options = Options();
  options.epochs = 3;
  options.parent = &parent;
  const auto network = TrainDense(set, options);
  ASSERT_THAT(network, IsOk());
  const Network start = Dequantise(parent);
  for (std::size_t i = 0; i < start.layers.size(); ++i) {
    const double step = static_cast<double>(parent.layers[i].weight_scale(0));
    for (std::size_t j = 0; j < start.layers[i].weights.size(); ++j) {
      const auto weight = static_cast<double>(network->layers[i].weights[j]);
      EXPECT_NEAR(weight, static_cast<double>(start.layers[i].weights[j]), 10 * step);
      EXPECT_LE(std::abs(weight), 127.001 * step);
    }
  }
  EXPECT_LT(LossOf(*network, set), 0.1);
}

TEST(TrainingTest, LearnsWhatNeedsAHiddenLayer) {
  std::vector<EpochResult> epochs;
  const TrainingSet set = ExclusiveOr();
  const auto network = TrainNetwork(EightHiddenUnits(), set, {}, Options(),
                                    [&](const EpochResult& r) { epochs.push_back(r); });
  ASSERT_THAT(network, IsOk());
  ASSERT_EQ(epochs.size(), 60);
  EXPECT_EQ(epochs.front().epoch, 1);
  EXPECT_LT(epochs.back().loss, epochs.front().loss);
  EXPECT_EQ(epochs.back().accuracy, 1);
  EXPECT_EQ(network->parameter_count(), 2 * 8 + 8 + 8 * 2 + 2);
  NetworkRunner runner(*network);
  for (std::size_t row = 0; row < set.features.rows; ++row) {
    EXPECT_EQ(Predict(runner, set.features.row(row)), set.labels[row]);
  }
}

TEST(TrainingTest, TheSameSeedGivesTheSameBitsAndAnotherSeedOthers) {
  TrainingOptions options = Options();
  options.epochs = 3;
  options.dropout = 0.2;
  const TrainingSet set = ExclusiveOr();
  const auto first = TrainDense(set, options);
  const auto again = TrainDense(set, options);
  options.seed = 2;
  const auto other = TrainDense(set, options);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(again, IsOk());
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(first->layers[0].weights, again->layers[0].weights);
  EXPECT_EQ(first->layers[1].bias, again->layers[1].bias);
  EXPECT_NE(first->layers[0].weights, other->layers[0].weights);
}

TEST(TrainingTest, ARowWithoutWeightIsNotLearned) {
  TrainingSet set = ExclusiveOr();
  // Two answers for the same rows: only those with weight count.
  for (std::size_t row = 0; row < set.features.rows; row += 2) {
    set.labels[row] = 1 - set.labels[row];
    set.weights[row] = 0;
    set.weights[row + 1] = 2;
  }
  const auto network = TrainDense(set, Options());
  ASSERT_THAT(network, IsOk());
  NetworkRunner runner(*network);
  for (std::size_t row = 1; row < set.features.rows; row += 2) {
    EXPECT_EQ(Predict(runner, set.features.row(row)), set.labels[row]);
  }
}

TEST(TrainingTest, WeightDecayMakesSmallerWeights) {
  TrainingOptions options = Options();
  const TrainingSet set = ExclusiveOr();
  const auto sum = [&set](const TrainingOptions& o) {
    double squares = 0;
    const auto network = TrainDense(set, o);
    for (const float w : network->layers[0].weights) {
      squares += static_cast<double>(w) * static_cast<double>(w);
    }
    return squares;
  };
  const double without = sum(options);
  options.weight_decay = 1;
  EXPECT_LT(sum(options), 0.8 * without);
}

TEST(TrainingTest, ALossThatIsNotANumberIsAnError) {
  TrainingSet set = ExclusiveOr();
  set.weights[0] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(TrainDense(set, Options()), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::build::trainer
