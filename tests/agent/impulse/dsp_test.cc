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

using fieldloop::testing::FlattenBlockMessage;
using fieldloop::testing::ImpulseMessage;
using fieldloop::testing::MagnitudeMessage;
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

TEST(Dsp, AValueThatIsNoNumberOrTooLargeIsRefused) {
  const std::string metadata =
      ImpulseMessage(WindowMessage(8, 1), {FlattenBlockMessage(1), SpectralBlockMessage(8, false)})
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

TEST(Dsp, AWindowMayLieAtAnyAddress) {
  const std::string metadata = ImpulseMessage(WindowMessage(4, 1), {RawBlockMessage(1)}).bytes();
  fl_dsp_t dsp;
  ASSERT_EQ(Open(dsp, metadata), FL_OK);
  const std::string bytes = "x" + fieldloop::testing::FloatBytes({1, 2, 3, 4});
  std::vector<float> features(4);
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  ASSERT_EQ(fl_dsp_features_of_bytes(&dsp, Data(bytes) + 1, features.data(),
                                     reinterpret_cast<std::uint8_t*>(scratch.data())),
            FL_OK);
  EXPECT_EQ(features, (std::vector<float>{1, 2, 3, 4}));
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
