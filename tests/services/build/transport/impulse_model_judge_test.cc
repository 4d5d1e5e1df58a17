// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/impulse_model_judge.h"

#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/support/small_model.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

TEST(ImpulseModelJudge, AModelClassifiesAsOnADevice) {
  ImpulseModelJudge judge([] { return absl::ZeroDuration(); });
  const auto model = judge.Open(SmallModel());
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ((*model)->window(), SmallRecipe().window);
  EXPECT_EQ((*model)->classes(), SmallClasses());
  EXPECT_GT((*model)->cortex_m4_instructions(), 100);
  const std::vector<float> run = {2, 1, 0, 0};
  const std::vector<float> walk = {1, 2, 0, 0};
  const std::vector<float> broken = {1, std::numeric_limits<float>::quiet_NaN(), 0, 0};
  EXPECT_EQ((*model)->Classify(run.data()), 0);
  EXPECT_EQ((*model)->Classify(walk.data()), 1);
  EXPECT_EQ((*model)->Classify(broken.data()), -1);
}

TEST(ImpulseModelJudge, LatencyIsTheMedianOfManyRuns) {
  // Each run takes one nanosecond longer than the one before: 1, 2, ..., kLatencyRuns.
  int reads = 0;
  ImpulseModelJudge judge([&reads] {
    const int now = reads++;
    return absl::Nanoseconds(now * (now + 1) / 2);
  });
  const auto model = judge.Open(SmallModel());
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ((*model)->MeasureLatency(),
            absl::Nanoseconds((ImpulseModelJudge::kLatencyRuns + 1) / 2));
}

TEST(ImpulseModelJudge, ASlowModelIsMeasuredByFewRuns) {
  int reads = 0;
  ImpulseModelJudge judge([&reads] { return absl::Seconds(3) * reads++; });
  const auto model = judge.Open(SmallModel());
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ((*model)->MeasureLatency(), absl::Seconds(3));
  EXPECT_EQ(reads, 2);
}

TEST(ImpulseModelJudge, BytesThatAreNoModelAreRefused) {
  ImpulseModelJudge judge([] { return absl::ZeroDuration(); });
  EXPECT_THAT(judge.Open("not a model"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::build
