// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/gate.h"

#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::evaluation {
namespace {

// An evaluation whose slice "source=device" has `groups` groups of 100 windows of each of two
// classes; group g's model is right in model[g % size] of each hundred, its baseline in
// baseline[...].
Evaluation Made(const std::vector<int>& model, const std::vector<int>& baseline, int groups) {
  Evaluation evaluation;
  evaluation.baseline_model = "projects/x/models/1";
  SliceResult slice;
  slice.slice = "source=device";
  for (int g = 0; g < groups; ++g) {
    const auto i = static_cast<std::size_t>(g);
    Group group;
    group.name = "d" + std::to_string(g);
    group.samples = 4;
    for (const char* label : {"SITTING", "WALKING"}) {
      group.classes[label] = {.windows = 100,
                              .model_right = model[i % model.size()],
                              .baseline_right = baseline[i % baseline.size()]};
      slice.windows += 100;
    }
    slice.groups.push_back(std::move(group));
  }
  evaluation.slices.push_back(std::move(slice));
  return evaluation;
}

struct Case {
  const char* name;
  GateTest test;
  double bound;  // Margin or value.
  std::vector<int> model;
  std::vector<int> baseline;
  Verdict want;

  friend void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }
};

class GateTable : public ::testing::TestWithParam<Case> {};

TEST_P(GateTable, GivesTheVerdict) {
  const Case& c = GetParam();
  GateRule rule;
  rule.slice = "source=device";
  rule.test = c.test;
  (c.test == GateTest::kAtLeast ? rule.value : rule.margin) = c.bound;
  const GateResult result = JudgeRule(rule, Made(c.model, c.baseline, 10));
  EXPECT_EQ(result.verdict, c.want) << result.explanation;
}

INSTANTIATE_TEST_SUITE_P(
    Rules, GateTable,
    ::testing::Values(
        Case{"SuperiorWhenAllGroupsGain",
             GateTest::kSuperior,
             0,
             {80, 85, 90},
             {40, 45, 50},
             Verdict::kPass},
        Case{"NotSuperiorWhenAllGroupsLose",
             GateTest::kSuperior,
             0,
             {40, 45, 50},
             {80, 85, 90},
             Verdict::kFail},
        Case{"SuperiorIsInconclusiveWhenGroupsDisagree",
             GateTest::kSuperior,
             0,
             {60, 85, 70},
             {70, 70, 70},
             Verdict::kInconclusive},
        Case{"SuperiorByMoreThanTheGainFails",
             GateTest::kSuperior,
             0.6,
             {80, 85, 90},
             {40, 45, 50},
             Verdict::kFail},
        Case{"EqualModelsAreNotSuperior",
             GateTest::kSuperior,
             0,
             {70, 80},
             {70, 80},
             Verdict::kInconclusive},
        Case{"EqualModelsAreNotWorse",
             GateTest::kNotWorse,
             0.02,
             {70, 80},
             {70, 80},
             Verdict::kPass},
        Case{"SlightlyLessIsWithinTheMargin",
             GateTest::kNotWorse,
             0.05,
             {78, 79},
             {80, 80},
             Verdict::kPass},
        Case{"MuchLessIsWorse", GateTest::kNotWorse, 0.05, {60, 62}, {80, 80}, Verdict::kFail},
        Case{"AroundTheMarginIsInconclusive",
             GateTest::kNotWorse,
             0.05,
             {70, 80},
             {80, 80},
             Verdict::kInconclusive},
        Case{"AtLeastReached", GateTest::kAtLeast, 0.8, {85, 90, 95}, {0}, Verdict::kPass},
        Case{"AtLeastMissed", GateTest::kAtLeast, 0.8, {55, 60, 65}, {0}, Verdict::kFail},
        Case{"AtLeastUnclear", GateTest::kAtLeast, 0.8, {60, 95}, {0}, Verdict::kInconclusive}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(JudgeRuleTest, AMissingSliceFails) {
  GateRule rule;
  rule.slice = "source=watch";
  const GateResult result = JudgeRule(rule, Made({90}, {50}, 10));
  EXPECT_EQ(result.verdict, Verdict::kFail);
  EXPECT_THAT(result.explanation, ::testing::HasSubstr("no windows of source=watch"));
}

TEST(JudgeRuleTest, AClassWithoutWindowsFails) {
  GateRule rule;
  rule.slice = "source=device";
  rule.metric = "recall/TURNING";
  EXPECT_EQ(JudgeRule(rule, Made({90}, {50}, 10)).verdict, Verdict::kFail);
}

TEST(JudgeRuleTest, AComparisonWithoutABaselineFails) {
  Evaluation evaluation = Made({90}, {50}, 10);
  evaluation.baseline_model.clear();
  GateRule rule;
  rule.slice = "source=device";
  EXPECT_EQ(JudgeRule(rule, evaluation).verdict, Verdict::kFail);
}

TEST(JudgeRuleTest, TwoDevicesAreTooFewForAVerdict) {
  GateRule rule;
  rule.slice = "source=device";
  rule.test = GateTest::kSuperior;
  const GateResult result = JudgeRule(rule, Made({90}, {50}, 2));
  EXPECT_EQ(result.verdict, Verdict::kInconclusive);
  EXPECT_THAT(result.explanation, ::testing::HasSubstr("at least 3 devices or people"));
}

TEST(JudgeRuleTest, InconclusiveSaysHowMuchMoreItTakes) {
  GateRule rule;
  rule.slice = "source=device";
  rule.test = GateTest::kSuperior;
  const GateResult result = JudgeRule(rule, Made({60, 90, 78}, {70}, 10));
  EXPECT_EQ(result.verdict, Verdict::kInconclusive);
  EXPECT_THAT(result.explanation,
              ::testing::ContainsRegex("it takes about [0-9]+ more samples from [0-9]+ more"));
}

TEST(JudgeRuleTest, ARepeatGivesTheSameWords) {
  GateRule rule;
  rule.slice = "source=device";
  const Evaluation evaluation = Made({60, 85, 70}, {70}, 10);
  EXPECT_EQ(JudgeRule(rule, evaluation), JudgeRule(rule, evaluation));
}

TEST(OverallTest, OneFailureFailsAndOneDoubtLeavesDoubt) {
  const GateResult pass{.rule = "", .verdict = Verdict::kPass, .explanation = ""};
  const GateResult fail{.rule = "", .verdict = Verdict::kFail, .explanation = ""};
  const GateResult doubt{.rule = "", .verdict = Verdict::kInconclusive, .explanation = ""};
  EXPECT_EQ(Overall({pass, pass}), Verdict::kPass);
  EXPECT_EQ(Overall({pass, doubt}), Verdict::kInconclusive);
  EXPECT_EQ(Overall({doubt, fail, pass}), Verdict::kFail);
}

}  // namespace
}  // namespace fieldloop::evaluation
