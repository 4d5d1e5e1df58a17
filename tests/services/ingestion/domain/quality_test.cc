// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/quality.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::ingestion {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<std::string> FlagsOf(std::vector<float> values,
                                 std::optional<FullScale> full_scale = std::nullopt) {
  std::vector<std::string> flags;
  CheckReadings({"x"}, full_scale, values, flags);
  return flags;
}

TEST(QualityTest, MissingValuesLieOnTheLineBetweenTheirNeighbours) {
  std::vector<float> values = {1, kNone, kNone, 7, kInfinity, 5};
  std::vector<std::string> flags;
  CheckReadings({"x"}, std::nullopt, values, flags);
  EXPECT_THAT(values, ElementsAre(1, 3, 5, 7, 6, 5));
  EXPECT_THAT(flags, ElementsAre("nan", "nan:x"));
}

TEST(QualityTest, MissingValuesAtTheEndsAreThoseNextToThemAndAnEmptyAxisIsZero) {
  std::vector<float> values = {kNone, kNone, 2, kNone, 3, kNone, kNone, -kInfinity};
  std::vector<std::string> flags;
  CheckReadings({"x", "y"}, std::nullopt, values, flags);
  EXPECT_THAT(values, ElementsAre(2, 0, 2, 0, 3, 0, 3, 0));
  SortFlags(flags);
  EXPECT_THAT(flags, ElementsAre("flat", "flat:y", "nan", "nan:x", "nan:y"));
}

TEST(QualityTest, EachAxisThatNeverChangesIsFlatAndASingleReadingIsNot) {
  std::vector<float> values = {1, 2, 1, 3, 1, 2};
  std::vector<std::string> flags;
  CheckReadings({"x", "y"}, std::nullopt, values, flags);
  EXPECT_THAT(flags, ElementsAre("flat", "flat:x"));
  EXPECT_THAT(FlagsOf({1}), IsEmpty());
}

TEST(QualityTest, ASignalThatIsCutAtItsExtremesIsClipped) {
  std::vector<float> wave;
  for (int i = 0; i < 200; ++i) {
    wave.push_back(static_cast<float>(10 * std::sin(0.1 * i)));
  }
  EXPECT_THAT(FlagsOf(wave), IsEmpty());
  for (float& value : wave) {
    value = std::min(value, 8.0F);
  }
  EXPECT_THAT(FlagsOf(wave), ElementsAre("clipping", "clipping:x"));
}

TEST(QualityTest, ACoarseSensorIsNotClippedAndNorIsASwitch) {
  EXPECT_THAT(FlagsOf({20, 20, 20, 21, 21, 21, 22, 22, 22, 21, 21, 21, 20, 20, 20, 20, 21, 21, 21}),
              IsEmpty());
  EXPECT_THAT(FlagsOf({0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0}), IsEmpty());
}

TEST(QualityTest, ThreeReadingsAtTheEndOfTheScaleAreClippedWhateverElseThereIs) {
  const FullScale scale{-32768, 32767};
  const std::vector<float> quiet(50, 0);
  std::vector<float> values = quiet;
  values.insert(values.end(), {5, 32767, 32767, 5, -1, -1, -1});
  values.insert(values.end(), quiet.begin(), quiet.end());
  EXPECT_THAT(FlagsOf(values, scale), IsEmpty());
  values.insert(values.begin() + 50, 3, -32768);
  EXPECT_THAT(FlagsOf(values, scale), ElementsAre("clipping", "clipping:x"));
}

}  // namespace
}  // namespace fieldloop::ingestion
