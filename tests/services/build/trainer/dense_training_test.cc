// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/dense_training.h"

#include <cstddef>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/trainer/random.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

// Exclusive or: no network without a hidden layer learns it.
DenseTrainingSet ExclusiveOr() {
  DenseTrainingSet set;
  set.classes = 2;
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

DenseTrainingOptions Options() {
  return {.hidden_units = {8}, .epochs = 60, .learning_rate = 0.02, .batch_size = 32};
}

TEST(DenseTrainingTest, LearnsWhatNeedsAHiddenLayer) {
  std::vector<EpochResult> epochs;
  const DenseTrainingSet set = ExclusiveOr();
  const auto network =
      TrainDenseNetwork(set, Options(), [&](const EpochResult& r) { epochs.push_back(r); });
  ASSERT_THAT(network, IsOk());
  ASSERT_EQ(epochs.size(), 60);
  EXPECT_EQ(epochs.front().epoch, 1);
  EXPECT_LT(epochs.back().loss, epochs.front().loss);
  EXPECT_EQ(epochs.back().accuracy, 1);
  EXPECT_EQ(network->parameter_count(), 2 * 8 + 8 + 8 * 2 + 2);
  for (std::size_t row = 0; row < set.features.rows; ++row) {
    const std::vector<float> logits = RunLayers(*network, set.features.row(row)).back();
    EXPECT_EQ(logits[1] > logits[0] ? 1 : 0, set.labels[row]);
  }
}

TEST(DenseTrainingTest, TheSameSeedGivesTheSameBitsAndAnotherSeedOthers) {
  DenseTrainingOptions options = Options();
  options.epochs = 3;
  options.dropout = 0.2;
  const DenseTrainingSet set = ExclusiveOr();
  const auto first = TrainDenseNetwork(set, options, [](const EpochResult&) {});
  const auto again = TrainDenseNetwork(set, options, [](const EpochResult&) {});
  options.seed = 2;
  const auto other = TrainDenseNetwork(set, options, [](const EpochResult&) {});
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(again, IsOk());
  ASSERT_THAT(other, IsOk());
  EXPECT_EQ(first->layers[0].weights, again->layers[0].weights);
  EXPECT_EQ(first->layers[1].bias, again->layers[1].bias);
  EXPECT_NE(first->layers[0].weights, other->layers[0].weights);
}

TEST(DenseTrainingTest, ARowWithoutWeightIsNotLearned) {
  DenseTrainingSet set = ExclusiveOr();
  // Two answers for the same rows: only those with weight count.
  for (std::size_t row = 0; row < set.features.rows; row += 2) {
    set.labels[row] = 1 - set.labels[row];
    set.weights[row] = 0;
    set.weights[row + 1] = 2;
  }
  const auto network = TrainDenseNetwork(set, Options(), [](const EpochResult&) {});
  ASSERT_THAT(network, IsOk());
  for (std::size_t row = 1; row < set.features.rows; row += 2) {
    const std::vector<float> logits = RunLayers(*network, set.features.row(row)).back();
    EXPECT_EQ(logits[1] > logits[0] ? 1 : 0, set.labels[row]);
  }
}

TEST(DenseTrainingTest, WeightDecayMakesSmallerWeights) {
  DenseTrainingOptions options = Options();
  const DenseTrainingSet set = ExclusiveOr();
  const auto sum = [&set](const DenseTrainingOptions& o) {
    double squares = 0;
    const auto network = TrainDenseNetwork(set, o, [](const EpochResult&) {});
    for (const float w : network->layers[0].weights) {
      squares += static_cast<double>(w) * static_cast<double>(w);
    }
    return squares;
  };
  const double without = sum(options);
  options.weight_decay = 1;
  EXPECT_LT(sum(options), 0.8 * without);
}

TEST(DenseTrainingTest, ALossThatIsNotANumberIsAnError) {
  DenseTrainingSet set = ExclusiveOr();
  set.weights[0] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(TrainDenseNetwork(set, Options(), [](const EpochResult&) {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::build::trainer
