// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/reference.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/packaging/held_out.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;

TEST(QuantileEdgesTest, SixteenBinsHoldAboutTheSameNumber) {
  std::vector<float> values(1600);
  std::iota(values.begin(), values.end(), 0.0F);
  const std::vector<float> edges = QuantileEdges(values);
  ASSERT_EQ(edges.size(), 15);
  std::vector<int> counts(16, 0);
  for (const float value : values) {
    ++counts[BinOf(edges, value)];
  }
  EXPECT_THAT(counts, ::testing::Each(100));
}

TEST(QuantileEdgesTest, EqualQuantilesBecomeOneEdgeAndNoBinIsEmpty) {
  const std::vector<float> values = {0.5F, 0.5F, 0.5F, 0.7F, 0.9F, 0.9F, 0.9F, 0.9F};
  const std::vector<float> edges = QuantileEdges(values);
  EXPECT_THAT(edges, ElementsAre(0.7F, 0.9F));
}

TEST(QuantileEdgesTest, EqualValuesStillHaveOneEdge) {
  EXPECT_THAT(QuantileEdges({2, 2, 2}), ElementsAre(2));
}

TEST(QuantileEdgesTest, AValueAtAnEdgeFallsIntoTheBinAboveIt) {
  const std::vector<float> edges = {1, 2};
  EXPECT_EQ(BinOf(edges, 0.9F), 0);
  EXPECT_EQ(BinOf(edges, 1), 1);
  EXPECT_EQ(BinOf(edges, 2), 2);
}

TEST(ChooseFeaturesTest, TakesThoseThatTellTheClassesApartAndSkipsTheirDoubles) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  FeatureTable features(400, 5);
  std::vector<int> labels;
  for (std::size_t row = 0; row < features.rows; ++row) {
    const int label = static_cast<int>(row % 2);
    labels.push_back(label);
    const double noise = normal(random);
    features.row(row)[0] = static_cast<float>(normal(random));                    // Tells nothing.
    features.row(row)[1] = static_cast<float>(2 * label + noise);                 // Tells a lot.
    features.row(row)[2] = static_cast<float>(-2 * label - noise) * 3;            // The same.
    features.row(row)[3] = static_cast<float>(0.7 * label + 2 * normal(random));  // Tells little.
    features.row(row)[4] = 1;                                                     // Never varies.
  }
  const std::vector<std::size_t> chosen = ChooseFeatures(features, labels, 2, 4);
  ASSERT_GE(chosen.size(), 2);
  EXPECT_THAT(chosen[0], ::testing::AnyOf(1, 2));
  EXPECT_EQ(chosen[1], 3);
  EXPECT_EQ(std::count(chosen.begin(), chosen.end(), 4), 0);
  EXPECT_EQ(ChooseFeatures(features, labels, 2, 1), std::vector<std::size_t>{chosen[0]});
  EXPECT_EQ(std::count_if(chosen.begin(), chosen.end(), [](auto i) { return i == 1 || i == 2; }),
            1);
}

TEST(FindFeaturesTest, FindsByNameAndRefusesAnUnknownOne) {
  const std::vector<std::string> names = {"x rms", "y rms"};
  const auto found = FindFeatures({"y rms"}, names);
  ASSERT_THAT(found, IsOk());
  EXPECT_THAT(*found, ElementsAre(1));
  EXPECT_THAT(FindFeatures({"z rms"}, names), StatusIs(absl::StatusCode::kInvalidArgument));
}

fieldloop::agent::v1::Impulse Described(const std::vector<HeldOutPrediction>& predictions) {
  FeatureTable features(predictions.size(), 1);
  std::iota(features.values.begin(), features.values.end(), 0.0F);
  fieldloop::agent::v1::Impulse impulse;
  impulse.add_classes("a");
  impulse.add_classes("b");
  DescribeReference(predictions, features, {0}, {"x rms"}, impulse);
  return impulse;
}

TEST(DescribeReferenceTest, SaysWhatTheHeldOutPredictionsWere) {
  // Ten of each of five confidences, right as often as the confidence says.
  std::vector<HeldOutPrediction> predictions;
  for (int step = 5; step < 10; ++step) {
    for (int i = 0; i < 10; ++i) {
      predictions.push_back({.label = i < step ? 1 : 0,
                             .predicted = 1,
                             .confidence = static_cast<float>(step) / 10,
                             .novelty = static_cast<float>(i)});
    }
  }
  predictions[0].predicted = 0;
  predictions[0].label = 0;
  const auto impulse = Described(predictions);
  const auto& reference = impulse.reference();
  ASSERT_EQ(reference.channels_size(), 3);
  const auto& confidence = reference.channels(0);
  EXPECT_EQ(confidence.kind(), fieldloop::agent::v1::CHANNEL_KIND_CONFIDENCE);
  EXPECT_THAT(confidence.edges(), ElementsAre(0.6F, 0.7F, 0.8F, 0.9F));
  EXPECT_THAT(confidence.shares(), ::testing::Each(FloatEq(0.2F)));
  EXPECT_EQ(reference.channels(1).kind(), fieldloop::agent::v1::CHANNEL_KIND_NOVELTY);
  EXPECT_EQ(reference.channels(2).kind(), fieldloop::agent::v1::CHANNEL_KIND_FEATURE);
  EXPECT_EQ(reference.channels(2).name(), "x rms");
  EXPECT_THAT(reference.class_shares(), ElementsAre(FloatEq(0.02F), FloatEq(0.98F)));
  EXPECT_THAT(
      impulse.calibration().bin_accuracy(),
      ElementsAre(FloatEq(0.5F), FloatEq(0.6F), FloatEq(0.7F), FloatEq(0.8F), FloatEq(0.9F)));
  EXPECT_FLOAT_EQ(impulse.uncertain_below(), 0.6F);
}

TEST(DescribeReferenceTest, TheIdIsThatOfTheEdges) {
  std::vector<HeldOutPrediction> predictions(20);
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    predictions[i] = {.confidence = 0.5F, .novelty = 1};
  }
  const std::uint32_t id = Described(predictions).reference().id();
  // SHA-256 of 0.5, 1 and the 15 edges 1, 2, 3, 5, 6, 7, 8, 10, ... of 0 to 19, made by Python.
  EXPECT_EQ(id, 0x5806218eU);
  predictions[3].predicted = 1;
  EXPECT_EQ(Described(predictions).reference().id(), id);
  std::for_each(predictions.begin(), predictions.end(), [](auto& p) { p.novelty = 2; });
  EXPECT_NE(Described(predictions).reference().id(), id);
}

TEST(DescribeReferenceTest, AConfidenceBinWithoutPredictionsHasItsNeighboursAccuracy) {
  std::vector<HeldOutPrediction> predictions(
      8, {.label = 1, .predicted = 1, .confidence = 0.9F, .novelty = 1});
  predictions[0].label = 0;
  EXPECT_THAT(Described(predictions).calibration().bin_accuracy(),
              ElementsAre(FloatNear(7.0F / 8, 1e-6F), FloatNear(7.0F / 8, 1e-6F)));
}

TEST(AssignFoldsTest, KeepsGroupsTogetherAndFoldsOfEqualSize) {
  std::vector<std::int32_t> groups;
  for (std::int32_t group = 0; group < 8; ++group) {
    groups.insert(groups.end(), static_cast<std::size_t>(10 * (group + 1)), group);
  }
  const std::vector<int> folds = AssignFolds(groups, 4);
  std::vector<int> sizes(4, 0);
  std::set<std::pair<std::int32_t, int>> pairs;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    ++sizes[static_cast<std::size_t>(folds[i])];
    pairs.emplace(groups[i], folds[i]);
  }
  EXPECT_EQ(pairs.size(), 8);
  EXPECT_THAT(sizes, ElementsAre(90, 90, 90, 90));
}

TEST(AssignFoldsTest, TwoGroupsMakeTwoFolds) {
  EXPECT_THAT(AssignFolds({5, 9, 9, 5, 9}, 4), ElementsAre(1, 0, 0, 1, 0));
}

}  // namespace
}  // namespace fieldloop::build
