// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/evaluation.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::evaluation {
namespace {

const std::vector<std::string> kClasses = {"SITTING", "WALKING"};

double ValueOf(const std::vector<Metric>& metrics, const std::string& name) {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const Metric& metric) { return metric.name == name; });
  return found == metrics.end() ? -1 : found->value;
}

JudgedSample Sample(const std::string& group, const std::string& slice,
                    std::vector<JudgedWindow> windows) {
  return {.group = group, .slices = {slice}, .windows = std::move(windows)};
}

JudgedWindow Window(const std::string& label, int predicted, const std::string& baseline = "") {
  return {.label = label, .predicted = predicted, .baseline_class = baseline};
}

TEST(SummariseTest, CountsMetricsAndConfusion) {
  const std::vector<SliceResult> slices =
      Summarise({Sample("a", "source=upload",
                        {Window("SITTING", 0), Window("SITTING", 0), Window("SITTING", 1),
                         Window("SITTING", 0)}),
                 Sample("b", "source=device", {Window("WALKING", 1), Window("WALKING", 0)})},
                kClasses, false);
  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(slices[0].slice, "all");
  EXPECT_EQ(slices[1].slice, "source=device");
  EXPECT_EQ(slices[2].slice, "source=upload");
  EXPECT_EQ(slices[0].windows, 6);
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].metrics, "accuracy"), 4.0 / 6);
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].metrics, "balanced_accuracy"), 0.625);
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].metrics, "recall/SITTING"), 0.75);
  EXPECT_THAT(slices[0].confusion[0].predicted, ::testing::ElementsAre(3, 1));
  EXPECT_THAT(slices[0].confusion[1].predicted, ::testing::ElementsAre(1, 1));
  EXPECT_TRUE(slices[0].baseline_metrics.empty());
}

TEST(SummariseTest, BalancedAccuracyIsOverTheClassesThatOccur) {
  const std::vector<SliceResult> slices =
      Summarise({Sample("a", "source=upload", {Window("SITTING", 0), Window("SITTING", 1)})},
                kClasses, false);
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].metrics, "balanced_accuracy"), 0.5);
  EXPECT_EQ(ValueOf(slices[0].metrics, "recall/WALKING"), -1);
}

TEST(SummariseTest, ALabelThatTheModelDoesNotKnowIsWrongAndNamed) {
  const std::vector<SliceResult> slices =
      Summarise({Sample("a", "source=upload",
                        {Window("SITTING", 0, "SITTING"), Window("JUMPING", 1, "JUMPING")})},
                kClasses, true);
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].metrics, "accuracy"), 0.5);
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].metrics, "recall/JUMPING"), 0);
  EXPECT_EQ(slices[0].confusion[2].label, "JUMPING");
  EXPECT_THAT(slices[0].confusion[2].predicted, ::testing::ElementsAre(0, 1));
  // The baseline may know it.
  EXPECT_DOUBLE_EQ(ValueOf(slices[0].baseline_metrics, "accuracy"), 1);
  EXPECT_EQ(slices[0].only_baseline_right, 1);
}

TEST(SummariseTest, ComparesWithTheBaselineOnTheSameWindows) {
  std::vector<JudgedSample> samples;
  for (int g = 0; g < 8; ++g) {
    std::vector<JudgedWindow> windows;
    for (int i = 0; i < 10; ++i) {
      windows.push_back(Window("SITTING", i < 8 ? 0 : 1, i < 5 + g % 2 ? "SITTING" : "WALKING"));
    }
    samples.push_back(Sample("device " + std::to_string(g), "source=device", windows));
  }
  const SliceResult slice = Summarise(samples, kClasses, true).front();
  EXPECT_EQ(slice.only_model_right, 4 * 3 + 4 * 2);
  EXPECT_EQ(slice.only_baseline_right, 0);
  EXPECT_NEAR(slice.mcnemar_mid_p, McNemarMidP(20, 0), 1e-15);
  EXPECT_NEAR(slice.difference.value, 0.25, 1e-12);
  EXPECT_GE(slice.difference.low, 0.2);
  EXPECT_LE(slice.difference.high, 0.3);
}

TEST(SummariseTest, TwoGroupsHaveNoInterval) {
  const SliceResult slice = Summarise({Sample("a", "source=upload", {Window("SITTING", 0)}),
                                       Sample("b", "source=upload", {Window("SITTING", 1)})},
                                      kClasses, false)
                                .front();
  EXPECT_EQ(slice.metrics[0].low, 0);
  EXPECT_EQ(slice.metrics[0].high, 0);
}

TEST(EstimateMetricTest, TheIntervalComesFromTheSpreadBetweenGroups) {
  // Ten groups of a thousand windows: windows alone would give an interval of +-1 point.
  std::vector<Group> groups;
  for (int g = 0; g < 10; ++g) {
    Group group;
    group.name = std::to_string(g);
    group.samples = 1;
    group.classes["SITTING"] = {.windows = 1000, .model_right = g % 2 == 0 ? 600 : 1000};
    groups.push_back(std::move(group));
  }
  const Estimate estimate = EstimateMetric(groups, "all", "accuracy", Side::kModel, 0.95);
  EXPECT_DOUBLE_EQ(estimate.value, 0.8);
  ASSERT_TRUE(estimate.has_interval);
  EXPECT_NEAR(estimate.interval.low, 0.68, 0.02);
  EXPECT_NEAR(estimate.interval.high, 0.92, 0.02);
}

}  // namespace
}  // namespace fieldloop::evaluation
