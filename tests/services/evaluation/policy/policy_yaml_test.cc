// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/policy/policy_yaml.h"

#include <fstream>
#include <ostream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

constexpr char kSmallest[] = R"(version: 1
build: {impulse: motion, dataset: all}
gate:
  - test: not_worse
)";

constexpr char kFull[] = R"(version: 1
trigger:
  drift:
    baseline_periods: 24
    recent_periods: 6
    fleet_alpha: 0.02
    device_fdr: 0.1
    min_effect_bins: 0.5
    min_devices: 2
    min_drifted_percent: 5
  labelled_samples: 500
  every: 30d
collect:
  from:
    attributes: {site: north}
  samples_per_device_per_period: 6
  samples_per_device: 60
  random_share: 0.75
  until:
    labelled_samples: 300
    per_class: 10
    testing_samples: 50
  timeout: 2h
build:
  impulse: motion
  dataset: all
  seed: 7
gate:
  - slice: source=device
    metric: balanced_accuracy
    test: superior
    alpha: 0.01
    margin: 0.1
  - slice: source=upload
    metric: recall/WALKING
    test: not_worse
  - slice: hand=left
    metric: accuracy
    test: at_least
    value: 0.8
on_inconclusive: reject
rollout:
  approval: automatic
  stages:
    - {percent: 10, confirm_percent: 90, soak: 60s}
    - {percent: 100}
  failure_percent: 20
  failure_count: 2
  device_timeout: 15m
  hardware_ids: [watch-v1]
)";

TEST(ParsePolicyTest, TheSmallestPolicyHasTheDefaults) {
  const absl::StatusOr<Policy> policy = ParsePolicy(kSmallest);
  ASSERT_THAT(policy, IsOk());
  Policy want;
  want.build.impulse = "motion";
  want.build.dataset = "all";
  GateRule rule;
  rule.test = GateTest::kNotWorse;
  rule.margin = 0.02;
  want.gate.push_back(rule);
  EXPECT_EQ(*policy, want);
}

TEST(ParsePolicyTest, ReadsEveryKey) {
  const absl::StatusOr<Policy> policy = ParsePolicy(kFull);
  ASSERT_THAT(policy, IsOk());
  ASSERT_TRUE(policy->trigger.drift.has_value());
  EXPECT_EQ(policy->trigger.drift->baseline_periods, 24);
  EXPECT_EQ(policy->trigger.drift->recent_periods, 6);
  EXPECT_EQ(policy->trigger.drift->fleet_alpha, 0.02);
  EXPECT_EQ(policy->trigger.drift->device_fdr, 0.1);
  EXPECT_EQ(policy->trigger.drift->min_effect_bins, 0.5);
  EXPECT_EQ(policy->trigger.drift->min_devices, 2);
  EXPECT_EQ(policy->trigger.drift->min_drifted_percent, 5);
  EXPECT_EQ(policy->trigger.labelled_samples, 500);
  EXPECT_EQ(policy->trigger.every, absl::Hours(24 * 30));
  ASSERT_TRUE(policy->collect.has_value());
  EXPECT_EQ(policy->collect->attributes.at("site"), "north");
  EXPECT_EQ(policy->collect->samples_per_device_per_period, 6);
  EXPECT_EQ(policy->collect->samples_per_device, 60);
  EXPECT_EQ(policy->collect->random_share, 0.75);
  EXPECT_EQ(policy->collect->labelled_samples, 300);
  EXPECT_EQ(policy->collect->per_class, 10);
  EXPECT_EQ(policy->collect->testing_samples, 50);
  EXPECT_EQ(policy->collect->timeout, absl::Hours(2));
  EXPECT_EQ(policy->build.seed, 7U);
  ASSERT_EQ(policy->gate.size(), 3U);
  EXPECT_EQ(policy->gate[0].margin, 0.1);
  EXPECT_EQ(policy->gate[0].alpha, 0.01);
  EXPECT_EQ(policy->gate[1].metric, "recall/WALKING");
  EXPECT_EQ(policy->gate[2].value, 0.8);
  EXPECT_EQ(policy->on_inconclusive, OnInconclusive::kReject);
  EXPECT_FALSE(policy->rollout.approval_required);
  ASSERT_EQ(policy->rollout.stages.size(), 2U);
  EXPECT_EQ(policy->rollout.stages[0].soak, absl::Minutes(1));
  EXPECT_EQ(policy->rollout.failure_count, 2);
  EXPECT_EQ(policy->rollout.device_timeout, absl::Minutes(15));
  EXPECT_THAT(policy->rollout.hardware_ids, ::testing::ElementsAre("watch-v1"));
  EXPECT_THAT(SliceKeys(policy->gate), ::testing::ElementsAre("hand"));
}

TEST(ParsePolicyTest, DriftWithoutKeysMeansItsDefaults) {
  const absl::StatusOr<Policy> policy =
      ParsePolicy(std::string(kSmallest) + "trigger:\n  drift:\n");
  ASSERT_THAT(policy, IsOk());
  EXPECT_EQ(policy->trigger.drift, DriftPolicy());
}

struct Bad {
  const char* name;
  const char* from;  // In kFull.
  const char* to;
  const char* want;  // The message has it.

  friend void PrintTo(const Bad& bad, std::ostream* os) { *os << bad.name; }
};
class BadPolicyTest : public ::testing::TestWithParam<Bad> {};

TEST_P(BadPolicyTest, NamesLineKeyAndExpectation) {
  std::string yaml = kFull;
  const std::size_t at = yaml.find(GetParam().from);
  ASSERT_NE(at, std::string::npos);
  yaml.replace(at, std::string(GetParam().from).size(), GetParam().to);
  const absl::StatusOr<Policy> policy = ParsePolicy(yaml);
  ASSERT_THAT(policy, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(policy.status().message()), ::testing::HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Keys, BadPolicyTest,
    ::testing::Values(
        Bad{"UnknownKeyInARule", "metric: balanced_accuracy", "metrik: balanced_accuracy",
            "line 30: gate[0].metrik: unknown key, want one of slice, metric, test, alpha, margin"},
        Bad{"UnknownKeyAtTheTop", "on_inconclusive", "on_unsure", "on_unsure: unknown key"},
        Bad{"WrongType", "seed: 7", "seed: seven",
            "line 27: build.seed: got \"seven\", want a whole number from 0"},
        Bad{"RandomShareBelowHalf", "random_share: 0.75", "random_share: 0.4",
            "line 18: collect.random_share: got \"0.4\", want a number from 0.5 to 1"},
        Bad{"NoUnitInATime", "timeout: 2h", "timeout: 7200", "collect.timeout: got \"7200\""},
        Bad{"NotANumber", "alpha: 0.01", "alpha: .nan", "gate[0].alpha"},
        Bad{"ZeroAlpha", "alpha: 0.01", "alpha: 0", "want a number above 0 to 0.25"},
        Bad{"UnknownTest", "test: superior", "test: better",
            "gate[0].test: got \"better\", want one of superior, not_worse, at_least"},
        Bad{"UnknownMetric", "metric: accuracy", "metric: f1", "gate[2].metric"},
        Bad{"ASliceThatIsNone", "slice: hand=left", "slice: left", "gate[2].slice"},
        Bad{"AValueForAComparison", "margin: 0.1", "value: 0.1", "gate[0].value: unknown key"},
        Bad{"NoValueForAtLeast", "    value: 0.8\n", "", "gate[2].value: missing"},
        Bad{"BaselineTooShort", "baseline_periods: 24", "baseline_periods: 12",
            "line 4: trigger.drift.baseline_periods: got 12, want at least 3 x 6"},
        Bad{"StagesThatFall", "{percent: 100}", "{percent: 5}",
            "rollout.stages[1].percent: got 5, want more than 10"},
        Bad{"LastStageNotAll", "{percent: 100}", "{percent: 50}", "want 100 in the last"},
        Bad{"NoUntil", "    labelled_samples: 300\n", "",
            "collect.until.labelled_samples: missing"},
        Bad{"NoVersion", "version: 1\n", "", "version: missing, want 1"},
        Bad{"AnotherVersion", "version: 1\n", "version: 2\n", "line 1: version: got \"2\""},
        Bad{"AnImpulseThatIsNoId", "impulse: motion", "impulse: Motion!", "build.impulse"},
        Bad{"TheSameKeyTwice", "seed: 7", "seed: 7\n  seed: 8", "build.seed: got it twice"},
        Bad{"AListForASection", "trigger:\n  drift:", "trigger: [1]\nx:\n  drift:",
            "trigger: got something else, want keys and values"},
        Bad{"NotYaml", "version: 1", "version: [1", "not YAML"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(ParsePolicyTest, AnEmptyDocumentIsRefused) {
  EXPECT_THAT(ParsePolicy("# nothing\n"), StatusIs(absl::StatusCode::kInvalidArgument));
}

// The examples of the manual must stay true.
TEST(ParsePolicyTest, ReadsTheExamplesOfTheManual) {
  std::ifstream file(FIELDLOOP_POLICY_MANUAL);
  ASSERT_TRUE(file.good());
  std::stringstream text;
  text << file.rdbuf();
  const std::string manual = text.str();
  int examples = 0;
  constexpr char kFence[] = "```yaml\n";
  for (std::size_t at = manual.find(kFence); at != std::string::npos;
       at = manual.find(kFence, at + 1)) {
    const std::size_t start = at + sizeof(kFence) - 1;
    const std::string yaml = manual.substr(start, manual.find("```", start) - start);
    EXPECT_THAT(ParsePolicy(yaml), IsOk()) << yaml;
    ++examples;
  }
  EXPECT_GE(examples, 2);
}

}  // namespace
}  // namespace fieldloop::evaluation
