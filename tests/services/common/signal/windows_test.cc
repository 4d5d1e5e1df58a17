// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/signal/windows.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::int64_t> Starts(const std::vector<LabelledWindow>& windows) {
  std::vector<std::int64_t> starts;
  for (const LabelledWindow& window : windows) {
    starts.push_back(window.start);
  }
  return starts;
}

TEST(ResampleTest, TheSameRateChangesNothing) {
  const Recording recording = {.values = {1, 2, 3, 4}, .axes = 2, .frequency_hz = 100};
  EXPECT_EQ(Resample(recording, 100).values, recording.values);
}

TEST(ResampleTest, TwiceTheRatePutsAReadingBetweenTwo) {
  const Recording out = Resample({.values = {0, 10, 20}, .axes = 1, .frequency_hz = 10}, 20);
  EXPECT_THAT(out.values, ElementsAre(0, 5, 10, 15, 20));
  EXPECT_EQ(out.frequency_hz, 20);
  EXPECT_EQ(out.axes, 1);
}

TEST(ResampleTest, HalfTheRateKeepsEverySecondReadingOfEveryAxis) {
  const Recording out =
      Resample({.values = {0, 5, 1, 6, 2, 7, 3, 8, 4, 9}, .axes = 2, .frequency_hz = 100}, 50);
  EXPECT_THAT(out.values, ElementsAre(0, 5, 2, 7, 4, 9));
}

TEST(ResampleTest, ARateThatDoesNotDivideEvenlyNeverReadsPastTheEnd) {
  const Recording out =
      Resample({.values = {0, 1, 2, 3, 4, 5, 6}, .axes = 1, .frequency_hz = 7}, 3);
  ASSERT_EQ(out.values.size(), 3U);
  EXPECT_FLOAT_EQ(out.values[1], 7.0F / 3);
  EXPECT_FLOAT_EQ(out.values[2], 14.0F / 3);
}

TEST(ResampleTest, NothingAndOneReadingStayAsTheyAre) {
  EXPECT_THAT(Resample({.values = {}, .axes = 3, .frequency_hz = 10}, 20).values, IsEmpty());
  EXPECT_THAT(Resample({.values = {7}, .axes = 1, .frequency_hz = 10}, 20).values, ElementsAre(7));
}

TEST(ResampleRangeTest, FollowsTheReadings) {
  const ReadingRange range = ResampleRange({.start = 10, .end = 19, .label = "on"}, 100, 50);
  EXPECT_EQ(range.start, 5);
  EXPECT_EQ(range.end, 9);
  EXPECT_EQ(range.label, "on");
  EXPECT_EQ(ResampleRange({.start = 4, .end = -1, .label = ""}, 100, 200).end, -1);
}

TEST(ResampleUnevenTest, PutsReadingsOnAnEvenGrid) {
  const Recording out = ResampleUneven({0, 10, 40}, {0, 10, 40}, 1, 100);
  EXPECT_THAT(out.values, ElementsAre(0, 10, 20, 30, 40));
  EXPECT_EQ(out.frequency_hz, 100);
}

TEST(ResampleUnevenTest, TimesNeedNotBeginAtZero) {
  EXPECT_THAT(ResampleUneven({1000, 1010, 1020}, {1, 2, 3}, 1, 100).values, ElementsAre(1, 2, 3));
  EXPECT_THAT(ResampleUneven({5}, {1, 2}, 2, 100).values, ElementsAre(1, 2));
  EXPECT_THAT(ResampleUneven({}, {}, 1, 100).values, IsEmpty());
}

TEST(PadShortTest, AShortRecordingStandsInTheMiddleBetweenZeros) {
  Recording recording = {.values = {1, 2, 3, 4}, .axes = 2, .frequency_hz = 10};
  std::vector<ReadingRange> ranges = {{.start = 0, .end = -1, .label = "a"}};
  PadShort(5, recording, ranges);
  EXPECT_THAT(recording.values, ElementsAre(0, 0, 1, 2, 3, 4, 0, 0, 0, 0));
  const std::vector<LabelledWindow> windows = CutWindows(5, 5, 5, 1, ranges);
  EXPECT_THAT(Starts(windows), ElementsAre(0)) << "the zeros carry its label";
  EXPECT_EQ(windows[0].label, "a");
}

TEST(PadShortTest, LabelsMoveWithTheirReadings) {
  Recording recording = {.values = {1, 2, 3, 4}, .axes = 1, .frequency_hz = 10};
  std::vector<ReadingRange> ranges = {{.start = 0, .end = 0, .label = "a"},
                                      {.start = 1, .end = 2, .label = "b"},
                                      {.start = 3, .end = 3, .label = "c"}};
  PadShort(8, recording, ranges);
  EXPECT_THAT(recording.values, ElementsAre(0, 0, 1, 2, 3, 4, 0, 0));
  EXPECT_EQ(ranges[0].start, 0);
  EXPECT_EQ(ranges[0].end, 2);
  EXPECT_EQ(ranges[1].start, 3);
  EXPECT_EQ(ranges[1].end, 4);
  EXPECT_EQ(ranges[2].start, 5);
  EXPECT_EQ(ranges[2].end, 7);
}

TEST(PadShortTest, ARecordingOfAWindowOrMoreAndAnEmptyOneStayAsTheyAre) {
  for (const std::vector<float>& values : {std::vector<float>{1, 2, 3}, {1, 2, 3, 4}, {}}) {
    Recording recording = {.values = values, .axes = 1, .frequency_hz = 10};
    std::vector<ReadingRange> ranges = {{.start = 1, .end = 1, .label = "a"}};
    PadShort(3, recording, ranges);
    EXPECT_EQ(recording.values, values);
    EXPECT_EQ(ranges[0].start, 1);
    EXPECT_EQ(ranges[0].end, 1);
  }
}

TEST(CutWindowsTest, AWindowNeedsTheShareOfOneLabel) {
  const std::vector<ReadingRange> ranges = {{.start = 0, .end = 9, .label = "a"},
                                            {.start = 10, .end = -1, .label = "b"}};
  const std::vector<LabelledWindow> all = CutWindows(20, 4, 2, 0.75, ranges);
  EXPECT_THAT(Starts(all), ElementsAre(0, 2, 4, 6, 10, 12, 14, 16));  // 8: half a, half b.
  EXPECT_EQ(all[3].label, "a");
  EXPECT_EQ(all[4].label, "b");
}

TEST(CutWindowsTest, WhatHasNoLabelGivesNoWindow) {
  EXPECT_THAT(CutWindows(20, 4, 2, 1, {}), IsEmpty());
  EXPECT_THAT(CutWindows(3, 4, 1, 1, {{.start = 0, .end = -1, .label = "a"}}), IsEmpty());
  EXPECT_THAT(Starts(CutWindows(10, 4, 1, 1, {{.start = 3, .end = 6, .label = "a"}})),
              ElementsAre(3));
}

TEST(CutWindowsTest, PiecesOfOneLabelCountTogether) {
  EXPECT_THAT(Starts(CutWindows(
                  4, 4, 4, 1,
                  {{.start = 0, .end = 1, .label = "a"}, {.start = 2, .end = 3, .label = "a"}})),
              ElementsAre(0));
}

TEST(SelectAxesTest, TakesAxesByNameAndInOrder) {
  const Recording recording = {.values = {1, 2, 3, 4, 5, 6}, .axes = 3, .frequency_hz = 10};
  const auto out = SelectAxes(recording, {"x", "y", "z"}, {"z", "x"});
  ASSERT_THAT(out, IsOk());
  EXPECT_THAT(out->values, ElementsAre(3, 1, 6, 4));
  EXPECT_EQ(out->axes, 2);
  EXPECT_EQ(out->frequency_hz, 10);
}

TEST(SelectAxesTest, AnAxisThatIsMissingIsNamed) {
  const auto out = SelectAxes({.values = {1}, .axes = 1, .frequency_hz = 1}, {"x"}, {"gyro"});
  EXPECT_THAT(out, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(out.status().message()), ::testing::HasSubstr("gyro"));
}

}  // namespace
}  // namespace fieldloop
