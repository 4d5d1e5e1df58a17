// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/anomaly.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/impulse/anomaly.h"

namespace fieldloop::build::trainer {
namespace {

// Two clouds in the first and last of three columns: around (0, 0) with a deviation of 0.1, and
// around (3, 3) with one of 0.5.
FeatureTable Clouds() {
  FeatureTable table(400, 3);
  Random random(1, 0);
  for (std::size_t row = 0; row < table.rows; ++row) {
    const bool second = row % 2 != 0;
    for (const std::size_t column : {0U, 2U}) {
      table.row(row)[column] =
          static_cast<float>((second ? 3 : 0) + (second ? 0.5 : 0.1) * random.Normal());
    }
    table.row(row)[1] = static_cast<float>(100 * random.Normal());
  }
  return table;
}

fieldloop::agent::v1::Anomaly Fit(AnomalyMethod method, int components,
                                  const FeatureTable& table = Clouds()) {
  Random random(2, 0);
  return FitAnomaly({.method = method, .components = components}, table, {0, 2}, random);
}

// As a device scores it.
float AnomalyScore(const fieldloop::agent::v1::Anomaly& anomaly, const float* features) {
  fieldloop::agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(1);
  impulse.mutable_window()->set_stride(1);
  impulse.mutable_window()->set_frequency_hz(1);
  for (const char* axis : {"x", "y", "z"}) {
    impulse.mutable_window()->add_axes(axis);
  }
  impulse.add_blocks()->mutable_raw();
  *impulse.mutable_anomaly() = anomaly;
  const std::string metadata = impulse.SerializeAsString();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(metadata.data());
  fl_dsp_t dsp;
  fl_anomaly_t opened;
  EXPECT_EQ(fl_dsp_open(&dsp, bytes, metadata.size()), FL_OK);
  EXPECT_EQ(fl_anomaly_open(&opened, &dsp, bytes, metadata.size()), FL_OK);
  return fl_anomaly_score(&opened, features);
}

float ScoreAt(const fieldloop::agent::v1::Anomaly& anomaly, float x, float y) {
  const std::vector<float> features = {x, 1e6F, y};
  return AnomalyScore(anomaly, features.data());
}

TEST(AnomalyTest, KMeansFindsTheCloudsAndTheirRadii) {
  const FeatureTable table = Clouds();
  const auto anomaly = Fit(AnomalyMethod::kKMeans, 2);
  ASSERT_EQ(anomaly.features_size(), 2);
  EXPECT_EQ(anomaly.features(1), 2);
  ASSERT_EQ(anomaly.k_means().radii_size(), 2);
  const int first = anomaly.k_means().centres(0) < 1 ? 0 : 1;
  EXPECT_NEAR(anomaly.k_means().centres(2 * first), 0, 0.05);
  EXPECT_NEAR(anomaly.k_means().centres(2 * (1 - first)), 3, 0.15);
  EXPECT_LT(anomaly.k_means().radii(first), 0.5);
  EXPECT_GT(anomaly.k_means().radii(1 - first), 1);
  float largest = -1;
  for (std::size_t row = 0; row < table.rows; ++row) {
    largest = std::max(largest, AnomalyScore(anomaly, table.row(row)));
  }
  EXPECT_NEAR(largest, 0, 1e-5);
  EXPECT_NEAR(ScoreAt(anomaly, 0, -2),
              std::hypot(anomaly.k_means().centres(2 * first),
                         2 + anomaly.k_means().centres(2 * first + 1)) -
                  anomaly.k_means().radii(first),
              1e-5);
}

TEST(AnomalyTest, AMixtureScoresByTheDensityOfTheClouds) {
  const auto anomaly = Fit(AnomalyMethod::kGaussianMixture, 2);
  ASSERT_EQ(anomaly.gaussian_mixture().log_weights_size(), 2);
  // In the middle of the dense cloud: half of the weight, a deviation of 0.1.
  EXPECT_NEAR(ScoreAt(anomaly, 0, 0), -std::log(0.5 / (2 * std::numbers::pi * 0.01)), 0.3);
  EXPECT_NEAR(ScoreAt(anomaly, 3, 3), -std::log(0.5 / (2 * std::numbers::pi * 0.25)), 0.3);
  EXPECT_GT(ScoreAt(anomaly, 1, 0), ScoreAt(anomaly, 4, 3));
}

TEST(AnomalyTest, MoreClustersThanPointsThatDifferMakeNoEmptyOnes) {
  FeatureTable table(6, 3);
  for (std::size_t row = 0; row < table.rows; ++row) {
    table.row(row)[0] = static_cast<float>(row % 2);
  }
  const auto k_means = Fit(AnomalyMethod::kKMeans, 16, table);
  EXPECT_EQ(k_means.k_means().radii_size(), 2);
  EXPECT_FLOAT_EQ(ScoreAt(k_means, 3, 0), 2);
  const auto mixture = Fit(AnomalyMethod::kGaussianMixture, 16, table);
  EXPECT_TRUE(std::isfinite(ScoreAt(mixture, 3, 0)));
  EXPECT_GT(ScoreAt(mixture, 3, 0), ScoreAt(mixture, 1, 0));
}

TEST(AnomalyTest, TheThresholdLetsTheShareOfTheQuantilePass) {
  std::vector<float> scores;
  for (int i = 100; i > 0; --i) {
    scores.push_back(static_cast<float>(i));
  }
  EXPECT_EQ(AnomalyThreshold(scores, 0.99), 99);
  EXPECT_EQ(AnomalyThreshold(scores, 0.5), 50);
  EXPECT_EQ(AnomalyThreshold({7}, 0.5), 7);
}

}  // namespace
}  // namespace fieldloop::build::trainer
