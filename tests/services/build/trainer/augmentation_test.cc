// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/augmentation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/trainer/random.h"

namespace fieldloop::build::trainer {
namespace {

using ::testing::ElementsAreArray;
using ::testing::FloatNear;
using ::testing::Pointwise;

TEST(RandomTest, GivesTheSameNumbersForTheSameSeedAndStream) {
  Random a(1, 2);
  Random b(1, 2);
  Random other_stream(1, 3);
  const std::uint64_t first = a.Bits();
  EXPECT_EQ(first, b.Bits());
  EXPECT_NE(first, other_stream.Bits());
}

TEST(RandomTest, ItsNumbersAreFixed) {
  // Values of another implementation of SplitMix64 and of the 64-bit Mersenne twister: a change
  // would change every model.
  Random random(1, 0);
  EXPECT_EQ(random.Bits(), 8144083929183497542U);
  EXPECT_EQ(random.Bits(), 6057952945524387058U);
}

TEST(RandomTest, NormalHasTheMomentsOfANormalDistribution) {
  Random random(1, 0);
  constexpr int kCount = 200'000;
  double sum = 0;
  double squares = 0;
  double fourths = 0;
  for (int i = 0; i < kCount; ++i) {
    const double x = random.Normal();
    sum += x;
    squares += x * x;
    fourths += x * x * x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.01);
  EXPECT_NEAR(squares / kCount, 1, 0.02);
  EXPECT_NEAR(fourths / kCount, 3, 0.1);
}

TEST(RandomTest, BelowGivesEveryNumberEquallyOften) {
  Random random(1, 0);
  std::vector<int> counts(5, 0);
  for (int i = 0; i < 50'000; ++i) {
    ++counts[random.Below(counts.size())];
  }
  for (const int count : counts) {
    EXPECT_NEAR(count, 10'000, 400);
  }
}

constexpr std::size_t kAxes = 6;

NpyArray<float> TwoReadings() {
  return {.shape = {1, 2 * kAxes}, .values = {1, 2, 3, 4, 5, 6, -1, 0.5, 2, 0, 3, -4}};
}

std::vector<float> CopyWith(const AugmentationOptions& options, Random& random) {
  const NpyArray<float> windows = TwoReadings();
  const Augmenter augmenter(options, kAxes, windows);
  std::vector<float> copy(windows.columns());
  augmenter.MakeCopy(windows.row(0), random, copy.data());
  return copy;
}

double Norm(const float* v) {
  return std::sqrt(static_cast<double>(v[0]) * static_cast<double>(v[0]) +
                   static_cast<double>(v[1]) * static_cast<double>(v[1]) +
                   static_cast<double>(v[2]) * static_cast<double>(v[2]));
}

double Dot(const float* a, const float* b) {
  return static_cast<double>(a[0]) * static_cast<double>(b[0]) +
         static_cast<double>(a[1]) * static_cast<double>(b[1]) +
         static_cast<double>(a[2]) * static_cast<double>(b[2]);
}

TEST(AugmenterTest, WithoutAnyChangeACopyIsTheWindow) {
  Random random(1, 0);
  EXPECT_THAT(CopyWith({.copies = 1}, random), Pointwise(FloatNear(1e-6F), TwoReadings().values));
}

TEST(AugmenterTest, HalfTurnsAreTheFourThatKeepTheAxesAndTheSameForAllGroups) {
  Random random(1, 0);
  std::set<std::vector<float>> seen;
  const std::vector<float> window = TwoReadings().values;
  for (int i = 0; i < 200; ++i) {
    const std::vector<float> copy = CopyWith({.copies = 1, .half_turns = true}, random);
    std::vector<float> signs;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      signs.push_back(std::round(copy[axis] / window[axis]));
      EXPECT_NEAR(copy[axis + 3], signs[axis] * window[axis + 3], 1e-5);
      EXPECT_NEAR(copy[axis + 6], signs[axis] * window[axis + 6], 1e-5);
    }
    seen.insert(signs);
  }
  EXPECT_THAT(seen, ElementsAreArray(std::vector<std::vector<float>>{
                        {-1, -1, 1}, {-1, 1, -1}, {1, -1, -1}, {1, 1, 1}}));
}

TEST(AugmenterTest, ARotationKeepsLengthsAndAnglesAndTurnsAllGroupsAlike) {
  Random random(1, 0);
  const std::vector<float> window = TwoReadings().values;
  double turned = 0;
  for (int i = 0; i < 100; ++i) {
    const std::vector<float> copy = CopyWith({.copies = 1, .rotation_degrees = 30}, random);
    const float* in = window.data();
    const float* out = copy.data();
    EXPECT_NEAR(Norm(out), Norm(in), 1e-5);
    EXPECT_NEAR(Norm(out + 3), Norm(in + 3), 1e-5);
    EXPECT_NEAR(Dot(out, out + 3), Dot(in, in + 3), 1e-4);
    EXPECT_NEAR(Dot(out, out + 9), Dot(in, in + 9), 1e-4);
    turned += std::abs(static_cast<double>(copy[0]) - static_cast<double>(window[0]));
  }
  EXPECT_GT(turned, 1);
}

TEST(AugmenterTest, TheGainOfAGroupHasTheGivenDeviationOfItsLogarithm) {
  Random random(1, 0);
  const std::vector<float> window = TwoReadings().values;
  constexpr int kCount = 4000;
  double squares = 0;
  double product = 0;
  for (int i = 0; i < kCount; ++i) {
    const std::vector<float> copy = CopyWith({.copies = 1, .gain = 0.1}, random);
    const double first = std::log(Norm(copy.data()) / Norm(window.data()));
    const double second = std::log(Norm(copy.data() + 3) / Norm(window.data() + 3));
    EXPECT_NEAR(std::log(Norm(copy.data() + 6) / Norm(window.data() + 6)), first, 1e-5);
    squares += first * first;
    product += first * second;
  }
  EXPECT_NEAR(std::sqrt(squares / kCount), 0.1, 0.005);
  EXPECT_NEAR(product / kCount, 0, 0.001);
}

TEST(AugmenterTest, NoiseIsAShareOfTheDeviationOfItsAxis) {
  Random random(1, 0);
  const std::vector<float> window = TwoReadings().values;
  constexpr int kCount = 4000;
  std::vector<double> squares(kAxes, 0.0);
  for (int i = 0; i < kCount; ++i) {
    const std::vector<float> copy = CopyWith({.copies = 1, .noise = 0.5}, random);
    for (std::size_t axis = 0; axis < kAxes; ++axis) {
      const double noise = static_cast<double>(copy[axis]) - static_cast<double>(window[axis]);
      squares[axis] += noise * noise;
    }
  }
  for (std::size_t axis = 0; axis < kAxes; ++axis) {
    const double deviation =
        std::abs(static_cast<double>(window[axis]) - static_cast<double>(window[axis + kAxes])) / 2;
    EXPECT_NEAR(std::sqrt(squares[axis] / kCount), 0.5 * deviation, 0.03 * deviation + 1e-5);
  }
}

TEST(AugmenterTest, AxesBehindTheLastGroupOfThreeAreNotTurned) {
  const NpyArray<float> windows = {.shape = {1, 4}, .values = {1, 2, 3, 4}};
  const Augmenter augmenter({.copies = 1, .rotation_degrees = 90, .half_turns = true}, 4, windows);
  Random random(1, 0);
  std::vector<float> copy(4);
  for (int i = 0; i < 20; ++i) {
    augmenter.MakeCopy(windows.row(0), random, copy.data());
    EXPECT_EQ(copy[3], 4);
  }
}

TEST(AugmenterTest, ShiftsInTimeByAtMostSoManyReadingsAndFillsWithZeros) {
  NpyArray<float> windows{.shape = {1, 8}, .values = {1, 2, 3, 4, 5, 6, 7, 8}};
  const Augmenter augmenter({.copies = 1, .time_shift = 2}, 2, windows);
  Random random(1, 0);
  std::set<std::vector<float>> seen;
  for (int i = 0; i < 100; ++i) {
    std::vector<float> copy(8);
    augmenter.MakeCopy(windows.row(0), random, copy.data());
    seen.insert(copy);
  }
  EXPECT_EQ(seen, (std::set<std::vector<float>>{{5, 6, 7, 8, 0, 0, 0, 0},
                                                {3, 4, 5, 6, 7, 8, 0, 0},
                                                {1, 2, 3, 4, 5, 6, 7, 8},
                                                {0, 0, 1, 2, 3, 4, 5, 6},
                                                {0, 0, 0, 0, 1, 2, 3, 4}}));
}

TEST(FeatureMaskerTest, BlanksBandsOfStepsAndFiltersOfMelBlocksOnly) {
  fieldloop::agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(1600);
  impulse.mutable_window()->set_stride(1600);
  impulse.mutable_window()->set_frequency_hz(8000);
  impulse.mutable_window()->add_axes("audio");
  impulse.add_classes("a");
  impulse.add_classes("b");
  impulse.add_blocks()->mutable_flatten();
  auto& mfe = *impulse.add_blocks()->mutable_mfe();
  mfe.set_frame_length(160);
  mfe.set_frame_stride(160);
  mfe.set_fft_length(256);
  mfe.set_filter_count(12);
  mfe.set_noise_floor_db(-52);
  constexpr std::size_t kFlatten = 7;
  constexpr std::size_t kSteps = 10;
  constexpr std::size_t kFilters = 12;
  const FeatureMasker masker({.copies = 1, .time_mask = 3, .frequency_mask = 4}, impulse);
  Random random(1, 0);
  std::set<std::size_t> steps_seen;
  std::set<std::size_t> filters_seen;
  for (int i = 0; i < 300; ++i) {
    std::vector<float> features(kFlatten + kSteps * kFilters, 1.0F);
    masker.Mask(random, features.data());
    std::size_t steps = 0;
    std::size_t filters = 0;
    const auto at = [&](std::size_t step, std::size_t filter) {
      return features[kFlatten + step * kFilters + filter];
    };
    for (std::size_t step = 0; step < kSteps; ++step) {
      bool blank = true;
      for (std::size_t filter = 0; filter < kFilters; ++filter) {
        blank = blank && at(step, filter) == 0;
      }
      steps += blank ? 1 : 0;
    }
    for (std::size_t filter = 0; filter < kFilters; ++filter) {
      bool blank = true;
      for (std::size_t step = 0; step < kSteps; ++step) {
        blank = blank && at(step, filter) == 0;
      }
      filters += blank ? 1 : 0;
    }
    // Nothing but whole bands.
    const auto blanked = std::count(features.begin(), features.end(), 0.0F);
    EXPECT_EQ(static_cast<std::size_t>(blanked),
              steps * kFilters + filters * kSteps - steps * filters);
    EXPECT_EQ(std::count(features.begin(), features.begin() + kFlatten, 1.0F), kFlatten);
    steps_seen.insert(steps);
    filters_seen.insert(filters);
  }
  EXPECT_EQ(steps_seen, (std::set<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(filters_seen, (std::set<std::size_t>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace fieldloop::build::trainer
