// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/fitting.h"

#include <cstddef>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/packaging/feature_extractor.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::FloatNear;
using ::testing::SizeIs;

LabelledWindows FourWindows() {
  LabelledWindows windows;
  windows.labels = {0, 0, 0, 1};
  windows.from_device = {false, false, true, true};
  return windows;
}

TEST(WindowWeightsTest, WithoutOptionsAllWindowsWeighTheSame) {
  EXPECT_THAT(WindowWeights({}, 2, FourWindows(), {0, 1, 2, 3}), Each(FloatEq(1)));
}

TEST(WindowWeightsTest, BalancedClassesWeighTheSameInAll) {
  LearningOptions learning;
  learning.balance_classes = true;
  EXPECT_THAT(WindowWeights(learning, 2, FourWindows(), {0, 1, 2, 3}),
              ElementsAre(FloatEq(2.0F / 3), FloatEq(2.0F / 3), FloatEq(2.0F / 3), FloatEq(2)));
}

TEST(WindowWeightsTest, WindowsOfDevicesWeighTheGivenShareOfTheOthers) {
  LearningOptions learning;
  learning.balance_classes = true;
  learning.device_weight = 0.5;
  const std::vector<float> weights = WindowWeights(learning, 2, FourWindows(), {0, 1, 2, 3});
  EXPECT_NEAR(weights[2] + weights[3], 0.5 * static_cast<double>(weights[0] + weights[1]), 1e-6);
  EXPECT_NEAR(weights[3] / weights[2], 3, 1e-5);
  EXPECT_NEAR(weights[0] + weights[1] + weights[2] + weights[3], 4, 1e-5);
}

TEST(WindowWeightsTest, CountsOnlyTheGivenWindows) {
  LearningOptions learning;
  learning.balance_classes = true;
  learning.device_weight = 0.5;
  EXPECT_THAT(WindowWeights(learning, 2, FourWindows(), {2, 3}), Each(FloatEq(1)));
}

fieldloop::agent::v1::Impulse TwoAxes() {
  fieldloop::agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(4);
  impulse.mutable_window()->set_stride(4);
  impulse.mutable_window()->set_frequency_hz(50);
  impulse.mutable_window()->add_axes("x");
  impulse.mutable_window()->add_axes("y");
  impulse.add_classes("a");
  impulse.add_classes("b");
  return impulse;
}

TEST(FeatureExtractorTest, EveryFeatureOfEveryBlockHasAName) {
  auto impulse = TwoAxes();
  auto& magnitude = *impulse.add_magnitudes();
  magnitude.set_first_axis(0);
  magnitude.set_count(2);
  impulse.add_blocks()->mutable_raw();
  impulse.add_blocks()->mutable_flatten();
  impulse.add_blocks()->mutable_flatten()->set_without_shape(true);
  impulse.add_blocks()->mutable_spectral()->set_fft_length(8);
  const auto extractor = FeatureExtractor::Open(impulse);
  ASSERT_THAT(extractor, IsOk());
  const std::vector<std::string> names = FeatureNames(impulse);
  ASSERT_THAT(names, SizeIs((*extractor)->feature_count()));
  EXPECT_EQ(names[0], "x [0]");
  EXPECT_EQ(names[3], "x [1]");
  EXPECT_EQ(names[12], "x average");
  EXPECT_EQ(names[12 + 17], "mag x rms");
  EXPECT_EQ(names.back(), "mag x 25 Hz");
}

TEST(FeatureExtractorTest, NamesFitTheDevice) {
  auto impulse = TwoAxes();
  impulse.mutable_window()->set_axes(0, std::string("ab\xC3\xA4") + std::string(19, 'x'));
  impulse.mutable_window()->set_axes(1,
                                     "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
                                     "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4");
  impulse.add_blocks()->mutable_flatten();
  for (const std::string& name : FeatureNames(impulse)) {
    EXPECT_LE(name.size(), 31);
  }
  EXPECT_EQ(FeatureNames(impulse)[7 + 4],
            "\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
            " deviation");
}

TEST(FeatureExtractorTest, ComputesWhatTheDeviceComputes) {
  auto impulse = TwoAxes();
  impulse.add_blocks()->mutable_flatten()->set_without_shape(true);
  const auto extractor = FeatureExtractor::Open(impulse);
  ASSERT_THAT(extractor, IsOk());
  const std::vector<float> window = {1, 0, 3, 0, 1, 0, 3, 0};
  std::vector<float> features((*extractor)->feature_count());
  ASSERT_THAT((*extractor)->Compute(window.data(), features.data()), IsOk());
  EXPECT_THAT(features, ElementsAre(2, 1, 3, FloatNear(2.236068F, 1e-5F), 1, 0, 0, 0, 0, 0));
}

TEST(FeatureExtractorTest, RefusesWhatADeviceWouldNotRun) {
  auto impulse = TwoAxes();
  impulse.add_blocks()->mutable_spectral()->set_fft_length(12);
  EXPECT_THAT(FeatureExtractor::Open(impulse), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::build::trainer
