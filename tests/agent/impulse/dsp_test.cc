// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/impulse/dsp.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/agent/impulse/proto_writer.h"

namespace {

using fieldloop::testing::FilteredBlockMessage;
using fieldloop::testing::FilterKind;
using fieldloop::testing::FlattenBlockMessage;
using fieldloop::testing::ImpulseMessage;
using fieldloop::testing::MagnitudeMessage;
using fieldloop::testing::MelParameters;
using fieldloop::testing::MfccBlockMessage;
using fieldloop::testing::MfeBlockMessage;
using fieldloop::testing::ProtoWriter;
using fieldloop::testing::RawBlockMessage;
using fieldloop::testing::SpectralBlockMessage;
using fieldloop::testing::WindowMessage;

constexpr double kPi = 3.14159265358979323846;

const std::uint8_t* Data(const std::string& bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

fl_status_t Open(fl_dsp_t& dsp, const std::string& metadata) {
  return fl_dsp_open(&dsp, Data(metadata), metadata.size());
}

// Opens a recipe and computes the features of one window.
std::vector<float> Features(const ProtoWriter& impulse, const std::vector<float>& window) {
  fl_dsp_t dsp;
  EXPECT_EQ(Open(dsp, impulse.bytes()), FL_OK);
  std::vector<float> features(dsp.feature_count);
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  EXPECT_EQ(fl_dsp_features(&dsp, window.data(), features.data(),
                            reinterpret_cast<std::uint8_t*>(scratch.data())),
            FL_OK);
  return features;
}

std::vector<float> RandomWindow(unsigned seed, std::size_t values, float mean, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, deviation);
  std::vector<float> window(values);
  for (float& value : window) value = normal(random);
  return window;
}

// The axis of a window with `axes` axes.
std::vector<double> Axis(const std::vector<float>& window, std::size_t axes, std::size_t axis) {
  std::vector<double> values;
  for (std::size_t i = axis; i < window.size(); i += axes) values.push_back(window[i]);
  return values;
}

double Mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

double CentralMoment(const std::vector<double>& x, int power) {
  const double mean = Mean(x);
  double sum = 0;
  for (const double v : x) sum += std::pow(v - mean, power);
  return sum / static_cast<double>(x.size());
}

std::vector<double> ReferenceFlatten(const std::vector<double>& x) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double variance = CentralMoment(x, 2);
  return {Mean(x),
          *std::min_element(x.begin(), x.end()),
          *std::max_element(x.begin(), x.end()),
          std::sqrt(squares / static_cast<double>(x.size())),
          std::sqrt(variance),
          CentralMoment(x, 3) / std::pow(variance, 1.5),
          CentralMoment(x, 4) / (variance * variance) - 3};
}

std::vector<double> ReferenceSpectral(const std::vector<double>& x, std::size_t length,
                                      bool average) {
  const double variance = CentralMoment(x, 2);
  std::vector<double> features = {std::sqrt(variance),
                                  CentralMoment(x, 3) / std::pow(variance, 1.5),
                                  CentralMoment(x, 4) / (variance * variance) - 3};
  const double mean = Mean(x);
  std::vector<double> powers(length / 2, 0.0);
  std::size_t frames = 0;
  for (std::size_t start = 0; start == 0 || start + length <= x.size(); start += length / 2) {
    ++frames;
    for (std::size_t k = 1; k <= length / 2; ++k) {
      std::complex<double> sum = 0;
      for (std::size_t n = 0; n < length && start + n < x.size(); ++n) {
        const double angle = 2 * kPi * static_cast<double>(n) / static_cast<double>(length);
        const double hann = 0.5 - 0.5 * std::cos(angle);
        sum += (x[start + n] - mean) * hann * std::polar(1.0, -angle * static_cast<double>(k));
      }
      const double power = std::norm(sum) / static_cast<double>(length);
      powers[k - 1] = average ? powers[k - 1] + power : std::max(powers[k - 1], power);
    }
  }
  for (const double power : powers) {
    const double value = average ? power / static_cast<double>(frames) : power;
    features.push_back(std::log(std::max(value, 1e-10)));
  }
  return features;
}

void ExpectNear(const std::vector<float>& got, std::size_t first, const std::vector<double>& want,
                double tolerance) {
  ASSERT_LE(first + want.size(), got.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(got[first + i]), want[i], tolerance * (1 + std::abs(want[i])))
        << "feature " << first + i;
  }
}

TEST(Dsp, RawKeepsTheOrderOfReadingsAndScales) {
  const ProtoWriter impulse = ImpulseMessage(WindowMessage(2, 2), {RawBlockMessage(0.5F)});
  EXPECT_EQ(Features(impulse, {1, 2, 3, 4}), (std::vector<float>{0.5F, 1, 1.5F, 2}));
}

TEST(Dsp, AScaleOfZeroIsOne) {
  const ProtoWriter impulse = ImpulseMessage(WindowMessage(2, 1), {RawBlockMessage(0)});
  EXPECT_EQ(Features(impulse, {1, -2}), (std::vector<float>{1, -2}));
}

TEST(Dsp, MagnitudesAreAppendedToEveryReadingInTheOrderListed) {
  ProtoWriter impulse = ImpulseMessage(WindowMessage(2, 3), {RawBlockMessage(1)});
  impulse.Message(3, MagnitudeMessage(1, 2)).Message(3, MagnitudeMessage(0, 3));
  EXPECT_EQ(Features(impulse, {2, 3, 4, 1, 0, 0}),
            (std::vector<float>{2, 3, 4, 5, std::sqrt(29.0F), 1, 0, 0, 0, 1}));
}

TEST(Dsp, FlattenOfKnownValues) {
  const ProtoWriter impulse = ImpulseMessage(WindowMessage(4, 1), {FlattenBlockMessage(2)});
  // 2, 4, 4, 6 after scaling: deviations -2, 0, 0, 2.
  const std::vector<float> features = Features(impulse, {1, 2, 2, 3});
  ExpectNear(features, 0, {4, 2, 6, std::sqrt(18.0), std::sqrt(2.0), 0, -1}, 1e-6);
}

TEST(Dsp, FlattenEqualsTheDoublePrecisionReference) {
  for (const float mean : {0.0F, 9.81F, -300.0F}) {
    const std::vector<float> window = RandomWindow(3, 500 * 3, mean, 1.5F);
    const std::vector<float> features =
        Features(ImpulseMessage(WindowMessage(500, 3), {FlattenBlockMessage(1)}), window);
    ASSERT_EQ(features.size(), 21U);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      ExpectNear(features, axis * 7, ReferenceFlatten(Axis(window, 3, axis)), 2e-5);
    }
  }
}

TEST(Dsp, FlattenWithoutShapeLeavesOutTheLastTwo) {
  const std::vector<float> window = RandomWindow(4, 50 * 2, 1, 1);
  const std::vector<float> features =
      Features(ImpulseMessage(WindowMessage(50, 2), {FlattenBlockMessage(1, true)}), window);
  ASSERT_EQ(features.size(), 10U);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    std::vector<double> want = ReferenceFlatten(Axis(window, 2, axis));
    want.resize(5);
    ExpectNear(features, axis * 5, want, 1e-5);
  }
}

TEST(Dsp, TheLongestWindowLosesNoPrecision) {
  const std::vector<float> window = RandomWindow(5, 65535, 100, 0.1F);
  const std::vector<float> features =
      Features(ImpulseMessage(WindowMessage(65535, 1), {FlattenBlockMessage(1)}), window);
  ExpectNear(features, 0, ReferenceFlatten(Axis(window, 1, 0)), 1e-4);
}

TEST(Dsp, AConstantAxisHasNoSkewnessAndNoKurtosis) {
  for (const float value : {0.0F, 9.81F, -1e-30F, 123456.7F}) {
    const std::vector<float> features =
        Features(ImpulseMessage(WindowMessage(100, 1),
                                {FlattenBlockMessage(1), SpectralBlockMessage(16, false)}),
                 std::vector<float>(100, value));
    EXPECT_EQ(features[0], value);
    EXPECT_EQ(features[4], 0.0F);
    EXPECT_EQ(features[5], 0.0F);
    EXPECT_EQ(features[6], 0.0F);
    EXPECT_EQ(features[7], 0.0F);
    for (std::size_t i = 10; i < 18; ++i) EXPECT_NEAR(features[i], std::log(1e-10), 1e-5);
  }
}

TEST(Dsp, TinyAndHugeAxesHaveTheSameShape) {
  const std::vector<float> window = RandomWindow(6, 200, 0, 1);
  const ProtoWriter impulse = ImpulseMessage(WindowMessage(200, 1), {FlattenBlockMessage(1)});
  const std::vector<float> one = Features(impulse, window);
  for (const float factor : {1e-18F, 1e17F}) {
    std::vector<float> scaled = window;
    for (float& value : scaled) value *= factor;
    const std::vector<float> features = Features(impulse, scaled);
    EXPECT_NEAR(features[5], one[5], 1e-3);
    EXPECT_NEAR(features[6], one[6], 1e-3);
  }
}

TEST(Dsp, SpectralEqualsTheDoublePrecisionReference) {
  for (std::uint32_t fft_length = 8; fft_length <= 256; fft_length *= 2) {
    for (const bool average : {false, true}) {
      for (const std::uint32_t length : {1000U, fft_length, fft_length + 1, 5U}) {
        SCOPED_TRACE(std::to_string(fft_length) + " in " + std::to_string(length));
        const std::vector<float> window = RandomWindow(length, length * 2, 5, 1);
        const std::vector<float> features = Features(
            ImpulseMessage(WindowMessage(length, 2), {SpectralBlockMessage(fft_length, average)}),
            window);
        const std::size_t per_axis = 3 + fft_length / 2;
        ASSERT_EQ(features.size(), 2 * per_axis);
        for (std::size_t axis = 0; axis < 2; ++axis) {
          ExpectNear(features, axis * per_axis,
                     ReferenceSpectral(Axis(window, 2, axis), fft_length, average), 1e-3);
        }
      }
    }
  }
}

TEST(Dsp, ASineShowsInItsBin) {
  std::vector<float> window(256);
  for (std::size_t i = 0; i < window.size(); ++i) {
    window[i] = static_cast<float>(std::sin(2 * kPi * 4 * static_cast<double>(i) / 32));
  }
  const std::vector<float> features =
      Features(ImpulseMessage(WindowMessage(256, 1), {SpectralBlockMessage(32, true)}), window);
  const auto largest = std::max_element(features.begin() + 3, features.end());
  EXPECT_EQ(largest - features.begin(), 3 + 4 - 1);
  // Amplitude 1 under a Hann window: |X| = N/4, so the power is N/16.
  EXPECT_NEAR(*largest, std::log(2.0), 1e-5);
}

// 100 Hz, as WindowMessage says.
std::vector<float> Sine(double hertz, double amplitude, std::size_t readings) {
  std::vector<float> window(readings);
  for (std::size_t i = 0; i < readings; ++i) {
    window[i] =
        static_cast<float>(amplitude * std::sin(2 * kPi * hertz * static_cast<double>(i) / 100));
  }
  return window;
}

// Root mean square after the filter of the block, the first spectral feature.
double FilteredRms(const std::vector<float>& window, FilterKind kind, float cutoff_hz,
                   std::uint32_t order) {
  const auto length = static_cast<std::uint32_t>(window.size());
  return static_cast<double>(Features(
      ImpulseMessage(WindowMessage(length, 1), {FilteredBlockMessage(16, kind, cutoff_hz, order)}),
      window)[0]);
}

TEST(Dsp, AFilterPassesItsSideHalvesThePowerAtTheCutOffAndStopsTheOther) {
  for (const std::uint32_t order : {2U, 4U, 6U, 8U}) {
    for (const float cutoff_hz : {2.0F, 25.0F}) {
      SCOPED_TRACE(std::to_string(order) + " " + std::to_string(cutoff_hz));
      const double far_gain = 1 / std::sqrt(1 + std::pow(8.0, 2 * order));
      const auto rms = [&](FilterKind kind, double hertz) {
        return FilteredRms(Sine(hertz, 1, 60000), kind, cutoff_hz, order) * std::sqrt(2.0);
      };
      const double far = static_cast<double>(cutoff_hz) / 8;
      EXPECT_NEAR(rms(FilterKind::kLowPass, far), 1, 0.01);
      EXPECT_NEAR(rms(FilterKind::kLowPass, static_cast<double>(cutoff_hz)), std::sqrt(0.5), 0.01);
      EXPECT_NEAR(rms(FilterKind::kHighPass, static_cast<double>(cutoff_hz)), std::sqrt(0.5), 0.01);
      EXPECT_LT(rms(FilterKind::kHighPass, far), far_gain + 0.01);
      EXPECT_NEAR(rms(FilterKind::kHighPass, 45), 1, 0.01);
    }
  }
}

TEST(Dsp, AFilterOfOrder0IsOfOrder6) {
  const std::vector<float> window = RandomWindow(9, 300, 0, 1);
  const auto features = [&](std::uint32_t order) {
    return Features(ImpulseMessage(WindowMessage(300, 1),
                                   {FilteredBlockMessage(32, FilterKind::kLowPass, 10, order)}),
                    window);
  };
  EXPECT_EQ(features(0), features(6));
  EXPECT_NE(features(0), features(4));
}

TEST(Dsp, AFilterKeepsItsPrecisionFarBelowTheRate) {
  // One part in 50,000 of the rate: coefficients of a direct form would round to no filter at all.
  const std::vector<float> step(60000, 1.0F);
  std::vector<float> window = step;
  for (std::size_t i = 0; i < 30000; ++i) window[i] = -1;
  const double rms = FilteredRms(window, FilterKind::kLowPass, 0.002F, 2);
  EXPECT_GT(rms, 0.1);
  EXPECT_LT(rms, 1.5);
}

TEST(Dsp, BinsThatAFilterDoesNotPassAreLeftOut) {
  // Bins of 16 at 100 Hz: 6.25, 12.5, 18.75, 25, 31.25, 37.5, 43.75, 50 Hz.
  const auto count = [](FilterKind kind, float cutoff_hz) {
    fl_dsp_t dsp;
    EXPECT_EQ(Open(dsp, ImpulseMessage(WindowMessage(50, 2),
                                       {FilteredBlockMessage(16, kind, cutoff_hz, 0)})
                            .bytes()),
              FL_OK);
    return dsp.feature_count / 2 - 3;
  };
  EXPECT_EQ(count(FilterKind::kNone, 0), 8U);
  EXPECT_EQ(count(FilterKind::kLowPass, 25), 4U);
  EXPECT_EQ(count(FilterKind::kLowPass, 24.9F), 3U);
  EXPECT_EQ(count(FilterKind::kLowPass, 1), 0U);
  EXPECT_EQ(count(FilterKind::kHighPass, 25), 5U);
  EXPECT_EQ(count(FilterKind::kHighPass, 25.1F), 4U);
  EXPECT_EQ(count(FilterKind::kHighPass, 49), 1U);
  // The bins that stay are the same ones, in order.
  const std::vector<float> window = Sine(12.5, 1, 400);
  const std::vector<float> features =
      Features(ImpulseMessage(WindowMessage(400, 1),
                              {FilteredBlockMessage(16, FilterKind::kLowPass, 30, 2)}),
               window);
  ASSERT_EQ(features.size(), 7U);
  EXPECT_EQ(std::max_element(features.begin() + 3, features.end()) - features.begin(), 4);
}

TEST(Dsp, MfeOfSilenceIs0AndOfFullScaleIs1) {
  const ProtoWriter impulse =
      ImpulseMessage(WindowMessage(256, 1), {MfeBlockMessage({.noise_floor_db = -52})});
  for (const float feature : Features(impulse, std::vector<float>(256, 0))) EXPECT_EQ(feature, 0);
  std::vector<float> loud = RandomWindow(10, 256, 0, 1e4F);
  for (const float feature : Features(impulse, loud)) EXPECT_EQ(feature, 1);
}

TEST(Dsp, MfeHoldsFrameAfterFrame) {
  // Silence, then a click: frames of 32 start every 16 readings.
  std::vector<float> window(128, 0);
  window[100] = 1;
  const std::vector<float> features =
      Features(ImpulseMessage(WindowMessage(128, 1), {MfeBlockMessage({})}), window);
  ASSERT_EQ(features.size(), 7U * 8U);
  for (std::size_t i = 0; i < features.size(); ++i) {
    const std::size_t start = 16 * (i / 8);
    EXPECT_EQ(features[i] > 0, start <= 100 && 100 < start + 32) << i;
  }
}

TEST(Dsp, MfeOfASineIsLargestInTheFilterThatHoldsIt) {
  const MelParameters mel{
      .frame_length = 256, .frame_stride = 256, .fft_length = 256, .filter_count = 10};
  std::size_t last = 0;
  for (const double hertz : {5.0, 20.0, 35.0, 45.0}) {
    const std::vector<float> features = Features(
        ImpulseMessage(WindowMessage(256, 1), {MfeBlockMessage(mel)}), Sine(hertz, 0.05, 256));
    const auto largest = static_cast<std::size_t>(
        std::max_element(features.begin(), features.end()) - features.begin());
    // Up to 50 Hz the mel scale is all but straight: filters are 50 / 11 Hz apart.
    EXPECT_NEAR(static_cast<double>(largest + 1) * 50 / 11, hertz, 5) << hertz;
    EXPECT_GE(largest, last);
    last = largest;
  }
}

TEST(Dsp, PreEmphasisGoesOverTheWholeWindowNotFrameByFrame) {
  const std::vector<float> window = RandomWindow(15, 128, 1, 0.01F);
  std::vector<float> emphasised = window;
  for (std::size_t i = 1; i < window.size(); ++i) {
    emphasised[i] = window[i] - 0.75F * window[i - 1];
  }
  const auto features = [](float pre_emphasis, const std::vector<float>& values) {
    return Features(
        ImpulseMessage(WindowMessage(128, 1), {MfeBlockMessage({.pre_emphasis = pre_emphasis})}),
        values);
  };
  EXPECT_EQ(features(0.75F, window), features(0, emphasised));
}

TEST(Dsp, AFrameMayBeTheWholeWindowAndShorterOrLongerThanTheTransform) {
  for (const std::uint32_t fft_length : {8U, 64U, 256U}) {
    const MelParameters mel{
        .frame_length = 51, .frame_stride = 65535, .fft_length = fft_length, .filter_count = 3};
    EXPECT_EQ(Features(ImpulseMessage(WindowMessage(51, 1), {MfeBlockMessage(mel)}),
                       RandomWindow(11, 51, 0, 1))
                  .size(),
              3U);
  }
}

TEST(Dsp, NoFilterIsEmptyHoweverManyThereAre) {
  const MelParameters mel{.frame_length = 64,
                          .frame_stride = 64,
                          .fft_length = 8,
                          .filter_count = 128,
                          .noise_floor_db = -100};
  const std::vector<float> features =
      Features(ImpulseMessage(WindowMessage(64, 1), {MfeBlockMessage(mel)}),
               RandomWindow(12, 64, 0.5F, 0.1F));
  ASSERT_EQ(features.size(), 128U);
  for (const float feature : features) EXPECT_GT(feature, 0);
}

TEST(Dsp, MfccOfEqualEnergiesHasOnlyTheFirstCoefficient) {
  // All corners lie on bin 0, whose power is 64 * 2^2 = 256 for a constant 2.
  const MelParameters mel{.frame_length = 64,
                          .frame_stride = 64,
                          .fft_length = 64,
                          .filter_count = 4,
                          .high_hz = 1e-3F,
                          .coefficient_count = 4};
  const std::vector<float> features = Features(
      ImpulseMessage(WindowMessage(64, 1), {MfccBlockMessage(mel)}), std::vector<float>(64, 2));
  ASSERT_EQ(features.size(), 4U);
  EXPECT_NEAR(features[0], 2 * std::log(256.0), 1e-5);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_NEAR(features[i], 0, 1e-5);
}

TEST(Dsp, NormalisedCoefficientsOfSilenceAre0) {
  const std::vector<float> features = Features(
      ImpulseMessage(WindowMessage(256, 1), {MfccBlockMessage({.normalisation_frames = 101})}),
      std::vector<float>(256, 0));
  for (const float feature : features) EXPECT_EQ(feature, 0);
}

TEST(Dsp, NormalisationOverOneFrameLeavesNothing) {
  const std::vector<float> features = Features(
      ImpulseMessage(WindowMessage(256, 1), {MfccBlockMessage({.normalisation_frames = 1})}),
      RandomWindow(13, 256, 0, 1));
  for (const float feature : features) EXPECT_EQ(feature, 0);
}

TEST(Dsp, TheLoudnessOfASoundDoesNotChangeItsNormalisedCoefficients) {
  const ProtoWriter impulse =
      ImpulseMessage(WindowMessage(512, 1), {MfccBlockMessage({.normalisation_frames = 31})});
  std::vector<float> window = RandomWindow(14, 512, 0, 1);
  const std::vector<float> soft = Features(impulse, window);
  for (float& value : window) value *= 16;
  const std::vector<float> loud = Features(impulse, window);
  for (std::size_t i = 0; i < soft.size(); ++i) EXPECT_NEAR(soft[i], loud[i], 1e-4);
}

TEST(Dsp, BlocksFollowEachOther) {
  const std::vector<float> window = RandomWindow(8, 64, 0, 1);
  const ProtoWriter window_message = WindowMessage(64, 1);
  std::vector<float> expected =
      Features(ImpulseMessage(window_message, {SpectralBlockMessage(16, false)}), window);
  const std::vector<float> flat =
      Features(ImpulseMessage(window_message, {FlattenBlockMessage(1)}), window);
  expected.insert(expected.end(), flat.begin(), flat.end());
  EXPECT_EQ(Features(ImpulseMessage(window_message,
                                    {SpectralBlockMessage(16, false), FlattenBlockMessage(1)}),
                     window),
            expected);
}

// The bits are part of the contract: every compiler and every target gives these.
TEST(Dsp, FeaturesHaveKnownBits) {
  std::vector<float> window(100 * 6);
  std::uint32_t state = 1;
  for (float& value : window) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * (1.0F / 1048576.0F) - 8.0F;
  }
  ProtoWriter impulse = ImpulseMessage(
      WindowMessage(100, 6),
      {FlattenBlockMessage(0.1F), SpectralBlockMessage(32, false), SpectralBlockMessage(64, true)});
  impulse.Message(3, MagnitudeMessage(0, 3)).Message(3, MagnitudeMessage(3, 3));
  std::uint32_t hash = 2166136261U;  // FNV-1a.
  for (const char byte : fieldloop::testing::FloatBytes(Features(impulse, window))) {
    hash = (hash ^ static_cast<std::uint8_t>(byte)) * 16777619U;
  }
  EXPECT_EQ(hash, 3914954903U);
}

TEST(Dsp, FeaturesOfSoundHaveKnownBits) {
  std::vector<float> window(2000);
  std::uint32_t state = 1;
  for (float& value : window) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<std::int32_t>(state) >> 16);
  }
  const MelParameters mel{.frame_length = 200,
                          .frame_stride = 100,
                          .fft_length = 256,
                          .filter_count = 20,
                          .low_hz = 1,
                          .high_hz = 45,
                          .pre_emphasis = 0.98F,
                          .scale = 1.0F / 32768,
                          .coefficient_count = 13,
                          .normalisation_frames = 11};
  const ProtoWriter impulse = ImpulseMessage(
      WindowMessage(2000, 1), {MfeBlockMessage(mel), MfccBlockMessage(mel),
                               FilteredBlockMessage(64, FilterKind::kHighPass, 5, 4)});
  std::uint32_t hash = 2166136261U;  // FNV-1a.
  for (const char byte : fieldloop::testing::FloatBytes(Features(impulse, window))) {
    hash = (hash ^ static_cast<std::uint8_t>(byte)) * 16777619U;
  }
  EXPECT_EQ(hash, 3370204125U);
}

TEST(Dsp, AValueThatIsNoNumberOrTooLargeIsRefused) {
  const std::string metadata =
      ImpulseMessage(WindowMessage(8, 1), {FlattenBlockMessage(1), SpectralBlockMessage(8, false),
                                           MfeBlockMessage({.frame_length = 8, .fft_length = 8}),
                                           MfccBlockMessage({.frame_length = 8, .fft_length = 8})})
          .bytes();
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, metadata), FL_OK);
  std::vector<float> features(dsp.feature_count);
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), 3e38F}) {
    for (std::size_t i = 0; i < 8; ++i) {
      std::vector<float> window(8, 1.0F);
      window[i] = bad;
      EXPECT_EQ(fl_dsp_features(&dsp, window.data(), features.data(),
                                reinterpret_cast<std::uint8_t*>(scratch.data())),
                FL_ERR_ARG);
    }
  }
}

TEST(Dsp, SoundThatIsTooLoudForItsEnergyIsRefusedAndNotLimitedTo1) {
  for (const ProtoWriter& block : {MfeBlockMessage({}), MfccBlockMessage({})}) {
    fl_dsp_t dsp;
    ASSERT_EQ(Open(dsp, ImpulseMessage(WindowMessage(64, 1), {block}).bytes()), FL_OK);
    std::vector<float> features(dsp.feature_count);
    std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
    const std::vector<float> window = RandomWindow(16, 64, 0, 1e25F);
    EXPECT_EQ(fl_dsp_features(&dsp, window.data(), features.data(),
                              reinterpret_cast<std::uint8_t*>(scratch.data())),
              FL_ERR_ARG);
  }
}

TEST(Dsp, AWindowMayLieAtAnyAddress) {
  const std::string metadata = ImpulseMessage(WindowMessage(4, 1), {RawBlockMessage(1)}).bytes();
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, metadata), FL_OK);
  const std::string bytes = "x" + fieldloop::testing::FloatBytes({1, 2, 3, 4});
  std::vector<float> features(4);
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  ASSERT_EQ(fl_dsp_features_of(&dsp, {.values = Data(bytes) + 1, .is_int16 = false},
                               features.data(), reinterpret_cast<std::uint8_t*>(scratch.data())),
            FL_OK);
  EXPECT_EQ(features, (std::vector<float>{1, 2, 3, 4}));
}

TEST(Dsp, AWindowOfIntegersHasTheFeaturesOfTheSameFloats) {
  std::vector<float> floats;
  std::string bytes = "x";  // For an odd address.
  for (int i = 0; i < 256; ++i) {
    const auto value = static_cast<std::int16_t>(i * 7919 % 65536 - 32768);
    floats.push_back(value);
    bytes += static_cast<char>(static_cast<std::uint16_t>(value) & 0xffU);
    bytes += static_cast<char>(static_cast<std::uint16_t>(value) >> 8U);
  }
  ProtoWriter impulse =
      ImpulseMessage(WindowMessage(128, 2), {RawBlockMessage(0.5F), SpectralBlockMessage(16, false),
                                             MfeBlockMessage({}), MfccBlockMessage({})});
  impulse.Message(3, MagnitudeMessage(0, 2));
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, impulse.bytes()), FL_OK);
  std::vector<float> features(dsp.feature_count);
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  ASSERT_EQ(fl_dsp_features_of(&dsp, {.values = Data(bytes) + 1, .is_int16 = true}, features.data(),
                               reinterpret_cast<std::uint8_t*>(scratch.data())),
            FL_OK);
  EXPECT_EQ(features, Features(impulse, floats));
}

TEST(Dsp, StandardisesAndClips) {
  ProtoWriter impulse = ImpulseMessage(WindowMessage(3, 1), {RawBlockMessage(1)});
  impulse.Message(5, ProtoWriter().Floats(1, {1, 2, 3}).Floats(2, {0.5F, 2, 1e30F}).Float(3, 4.0F));
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, impulse.bytes()), FL_OK);
  std::vector<float> features = {2, -1, 3e38F};
  fl_dsp_standardise(&dsp, features.data());
  EXPECT_EQ(features, (std::vector<float>{0.5F, -4, 4}));
}

TEST(Dsp, WithoutStandardisationFeaturesStayAsTheyAre) {
  const std::string metadata = ImpulseMessage(WindowMessage(2, 1), {RawBlockMessage(1)}).bytes();
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, metadata), FL_OK);
  std::vector<float> features = {1e9F, -3};
  fl_dsp_standardise(&dsp, features.data());
  EXPECT_EQ(features, (std::vector<float>{1e9F, -3}));
}

TEST(Dsp, ARecipeOutOfItsRangeIsRefused) {
  const ProtoWriter window = WindowMessage(10, 2);
  const ProtoWriter raw = RawBlockMessage(1);
  const auto with = [&](std::uint32_t tag, const ProtoWriter& part) {
    ProtoWriter impulse = ImpulseMessage(window, {raw});
    impulse.Message(tag, part);
    return impulse.bytes();
  };
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, ImpulseMessage(window, {raw}).bytes()), FL_OK);

  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::string> refused = {
      "",
      ProtoWriter().Varint(1, 2).Message(2, window).Message(4, raw).bytes(),
      ProtoWriter().Varint(1, 1).Message(4, raw).bytes(),
      ImpulseMessage(window, {}).bytes(),
      ImpulseMessage(window, {ProtoWriter()}).bytes(),
      ImpulseMessage(window, {RawBlockMessage(nan)}).bytes(),
      ImpulseMessage(window, {FlattenBlockMessage(nan)}).bytes(),
      ImpulseMessage(window, {SpectralBlockMessage(4, false)}).bytes(),
      ImpulseMessage(window, {SpectralBlockMessage(24, false)}).bytes(),
      ImpulseMessage(window, {SpectralBlockMessage(512, false)}).bytes(),
      ImpulseMessage(WindowMessage(0, 1), {raw}).bytes(),
      ImpulseMessage(WindowMessage(65536, 1), {raw}).bytes(),
      ImpulseMessage(WindowMessage(10, 0), {raw}).bytes(),
      with(2, ProtoWriter().Varint(2, 11)),
      with(2, ProtoWriter().Varint(2, 0)),
      with(2, ProtoWriter().Float(3, 0)),
      with(2, ProtoWriter().Float(3, nan)),
      with(3, MagnitudeMessage(0, 1)),
      with(3, MagnitudeMessage(0, 4)),
      with(3, MagnitudeMessage(1, 2)),
      with(3, MagnitudeMessage(0xffffffff, 2)),
      with(5, ProtoWriter()),
      with(5, ProtoWriter().Float(3, 1)),
  };
  for (std::size_t i = 0; i < refused.size(); ++i) {
    EXPECT_EQ(Open(dsp, refused[i]), FL_ERR_UNSUPPORTED) << i;
  }
}

TEST(Dsp, ASoundBlockOutOfItsRangeIsRefused) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto status = [](const ProtoWriter& block, std::uint32_t length = 256) {
    fl_dsp_t dsp;
    return Open(dsp, ImpulseMessage(WindowMessage(length, 1), {block}).bytes());
  };
  ASSERT_EQ(status(MfeBlockMessage({})), FL_OK);
  ASSERT_EQ(status(MfccBlockMessage({})), FL_OK);
  const std::vector<MelParameters> refused = {
      {.frame_length = 1},
      {.frame_length = 257},
      {.frame_length = 0xffffffff},
      {.frame_stride = 0},
      {.frame_stride = 65536},
      {.fft_length = 0},
      {.fft_length = 4},
      {.fft_length = 48},
      {.fft_length = 4096},
      {.filter_count = 1},
      {.filter_count = 129},
      {.low_hz = -1},
      {.low_hz = 50},
      {.low_hz = kNan},
      {.high_hz = 50.1F},
      {.high_hz = -1},
      {.low_hz = 9, .high_hz = 9},
      {.high_hz = kNan},
      {.pre_emphasis = -0.1F},
      {.pre_emphasis = 1},
      {.pre_emphasis = kNan},
      {.scale = kInfinity},
  };
  for (std::size_t i = 0; i < refused.size(); ++i) {
    EXPECT_EQ(status(MfeBlockMessage(refused[i])), FL_ERR_UNSUPPORTED) << i;
    EXPECT_EQ(status(MfccBlockMessage(refused[i])), FL_ERR_UNSUPPORTED) << i;
  }
  for (const float floor_db : {0.1F, -200.1F, kNan}) {
    EXPECT_EQ(status(MfeBlockMessage({.noise_floor_db = floor_db})), FL_ERR_UNSUPPORTED);
  }
  for (const std::uint32_t count : {0U, 9U}) {
    EXPECT_EQ(status(MfccBlockMessage({.coefficient_count = count})), FL_ERR_UNSUPPORTED);
  }
  for (const std::uint32_t frames : {2U, 1024U, 1025U}) {
    EXPECT_EQ(status(MfccBlockMessage({.normalisation_frames = frames})), FL_ERR_UNSUPPORTED);
  }
  // 1024 frames are the most.
  EXPECT_EQ(status(MfeBlockMessage({.frame_length = 2, .frame_stride = 1}), 1025), FL_OK);
  EXPECT_EQ(status(MfeBlockMessage({.frame_length = 2, .frame_stride = 1}), 1026),
            FL_ERR_UNSUPPORTED);
}

TEST(Dsp, AFilterOutOfItsRangeIsRefused) {
  const auto status = [](int kind, float cutoff_hz, std::uint32_t order) {
    fl_dsp_t dsp;
    return Open(
        dsp,
        ImpulseMessage(WindowMessage(64, 1),
                       {FilteredBlockMessage(16, static_cast<FilterKind>(kind), cutoff_hz, order)})
            .bytes());
  };
  EXPECT_EQ(status(1, 49.9F, 8), FL_OK);
  EXPECT_EQ(status(0, 0, 99), FL_OK);  // No filter.
  EXPECT_EQ(status(3, 10, 2), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(1, 50, 2), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(1, 0, 2), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(2, -1, 2), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(2, std::numeric_limits<float>::quiet_NaN(), 2), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(2, 10, 3), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(2, 10, 10), FL_ERR_UNSUPPORTED);
}

TEST(Dsp, AStandardisationThatDoesNotFitIsRefused) {
  const ProtoWriter base = ImpulseMessage(WindowMessage(2, 1), {RawBlockMessage(1)});
  const auto open = [&](const ProtoWriter& standardisation) {
    ProtoWriter impulse = base;
    impulse.Message(5, standardisation);
    fl_dsp_t dsp;
    return Open(dsp, impulse.bytes());
  };
  const std::vector<float> ones = {1, 1};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(open(ProtoWriter().Floats(1, ones).Floats(2, ones).Float(3, 1)), FL_OK);
  EXPECT_EQ(open(ProtoWriter().Floats(1, {1}).Floats(2, ones).Float(3, 1)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(open(ProtoWriter().Floats(1, ones).Floats(2, {1}).Float(3, 1)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(open(ProtoWriter().Floats(1, ones).Floats(2, {1, 0}).Float(3, 1)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(open(ProtoWriter().Floats(1, {1, nan}).Floats(2, ones).Float(3, 1)),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(open(ProtoWriter().Floats(1, ones).Floats(2, ones)), FL_ERR_UNSUPPORTED);
  // Twice, and not packed.
  EXPECT_EQ(open(ProtoWriter().Floats(1, ones).Floats(1, ones).Floats(2, ones).Float(3, 1)),
            FL_ERR_CORRUPT);
  EXPECT_EQ(open(ProtoWriter().Float(1, 1).Float(1, 1).Floats(2, ones).Float(3, 1)),
            FL_ERR_CORRUPT);
}

TEST(Dsp, BrokenMetadataIsRefused) {
  ProtoWriter impulse = ImpulseMessage(WindowMessage(2, 1), {RawBlockMessage(1)});
  impulse.Message(5, ProtoWriter().Floats(1, {1, 2}).Floats(2, {1, 2}).Float(3, 1));
  const std::string whole = impulse.bytes();
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, whole), FL_OK);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::uint8_t> cut(whole.begin(),
                                        whole.begin() + static_cast<std::ptrdiff_t>(size));
    const fl_status_t status = fl_dsp_open(&dsp, cut.data(), cut.size());
    if (status == FL_OK) {
      EXPECT_EQ(dsp.mean, nullptr) << "cut before the standardisation at " << size;
    }
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int flip = 1; flip < 256; ++flip) {
      std::vector<std::uint8_t> bytes(whole.begin(), whole.end());
      bytes[i] = static_cast<std::uint8_t>(bytes[i] ^ flip);
      (void)fl_dsp_open(&dsp, bytes.data(), bytes.size());
    }
  }
}

}  // namespace
