// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/impulse/float_math.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace {

constexpr double kPi = 3.14159265358979323846;

float FloatOfBits(std::uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TEST(FloatMath, LogarithmIsWithinOneUnitInTheLastPlaceOverAllNormalNumbers) {
  double worst = 0;
  for (std::uint64_t bits = 0x00800000; bits < 0x7f800000; bits += 997) {
    const float x = FloatOfBits(static_cast<std::uint32_t>(bits));
    const double want = std::log(static_cast<double>(x));
    const double unit = std::max(std::ldexp(1.0, std::ilogb(want) - 23), 6e-8);
    worst = std::max(worst, std::abs(static_cast<double>(fl_ln(x)) - want) / unit);
  }
  EXPECT_LE(worst, 1.0);
  EXPECT_EQ(fl_ln(1.0F), 0.0F);
}

// The bits are part of the contract: they are the same on every target.
TEST(FloatMath, LogarithmGivesKnownBits) {
  EXPECT_EQ(fl_ln(2.0F), FloatOfBits(0x3f317218));
  EXPECT_EQ(fl_ln(1e-10F), FloatOfBits(0xc1b834f1));
}

// Units in the last place of `want` by which a float is off.
double UnitsOff(float got, double want) {
  return std::abs(static_cast<double>(got) - want) / std::ldexp(1.0, std::ilogb(want) - 23);
}

TEST(FloatMath, ExponentialIsWithinItsBoundOverItsRange) {
  double worst = 0;
  for (double x = -87; x <= 88; x += 1.0 / 4096) {
    const auto argument = static_cast<float>(x);
    worst = std::max(worst, UnitsOff(fl_exp(argument), std::exp(static_cast<double>(argument))));
  }
  for (float x = 1e-30F; x < 1; x *= 1.01F) {
    worst = std::max(worst, UnitsOff(fl_exp(x), std::exp(static_cast<double>(x))));
    worst = std::max(worst, UnitsOff(fl_exp(-x), std::exp(static_cast<double>(-x))));
  }
  EXPECT_LE(worst, 1.1);
  EXPECT_EQ(fl_exp(0), 1.0F);
  EXPECT_EQ(fl_exp(-87.5F), 0.0F);
  EXPECT_EQ(fl_exp(-3e38F), 0.0F);
}

TEST(FloatMath, SineAndCosineAreWithinTheirBounds) {
  double worst_sine = 0;
  double worst_cosine = 0;
  for (std::uint32_t i = 1; i <= 1000000; ++i) {
    const float x = static_cast<float>(i) / 1000000.0F;
    const double angle = kPi * static_cast<double>(x);
    if (x <= 0.5F) worst_sine = std::max(worst_sine, UnitsOff(fl_sin_pi(x), std::sin(angle)));
    // Near its zero the double itself is off: pi is not exact.
    if (x != 0.5F) worst_cosine = std::max(worst_cosine, UnitsOff(fl_cos_pi(x), std::cos(angle)));
  }
  for (float x = 1e-30F; x < 0.25F; x *= 1.01F) {
    worst_sine =
        std::max(worst_sine, UnitsOff(fl_sin_pi(x), std::sin(kPi * static_cast<double>(x))));
  }
  EXPECT_LE(worst_sine, 2.0);
  EXPECT_LE(worst_cosine, 2.0);
  EXPECT_EQ(fl_sin_pi(0), 0.0F);
  EXPECT_EQ(fl_sin_pi(0.5F), 1.0F);
  EXPECT_EQ(fl_cos_pi(0), 1.0F);
  EXPECT_EQ(fl_cos_pi(0.5F), 0.0F);
  EXPECT_EQ(fl_cos_pi(1), -1.0F);
}

TEST(FloatMath, ExponentialSineAndCosineGiveKnownBits) {
  EXPECT_EQ(fl_exp(1), FloatOfBits(0x402df854));
  EXPECT_EQ(fl_exp(-80.3F), FloatOfBits(0x058e2e4f));
  EXPECT_EQ(fl_sin_pi(0.1F), FloatOfBits(0x3e9e377a));
  EXPECT_EQ(fl_cos_pi(0.7F), FloatOfBits(0xbf167918));
}

TEST(FloatMath, TheCosineOfTheTransformIsWithinItsBoundAndExactWhereTheTableIs) {
  for (std::uint32_t i = 0; i < 2 * FL_FFT_MAX_LENGTH; ++i) {
    const double want = std::cos(2 * kPi * i / FL_FFT_MAX_LENGTH);
    EXPECT_NEAR(static_cast<double>(fl_cosine(i)), want, 6.5e-8) << i;
    if (i % 8 == 0) {
      EXPECT_NEAR(static_cast<double>(fl_cosine(i)), want, std::abs(want) * 6e-8 + 1e-15) << i;
    }
  }
}

TEST(FloatMath, FftEqualsTheDirectTransform) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::uint32_t length = 1; length <= FL_FFT_MAX_LENGTH / 2; length *= 2) {
    std::vector<float> real(length);
    std::vector<float> imaginary(length);
    for (std::uint32_t i = 0; i < length; ++i) {
      real[i] = uniform(random);
      imaginary[i] = uniform(random);
    }
    std::vector<std::complex<double>> want(length);
    for (std::uint32_t k = 0; k < length; ++k) {
      for (std::uint32_t n = 0; n < length; ++n) {
        want[k] += std::complex<double>(real[n], imaginary[n]) *
                   std::polar(1.0, -2 * kPi * static_cast<double>(k * n % length) / length);
      }
    }
    fl_fft(real.data(), imaginary.data(), length);
    for (std::uint32_t k = 0; k < length; ++k) {
      EXPECT_NEAR(static_cast<double>(real[k]), want[k].real(), 1.2e-5) << length << " " << k;
      EXPECT_NEAR(static_cast<double>(imaginary[k]), want[k].imag(), 1.2e-5) << length << " " << k;
    }
  }
}

TEST(FloatMath, PowersEqualThoseOfTheDirectTransform) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::uint32_t length = 8; length <= FL_FFT_MAX_LENGTH; length *= 2) {
    std::vector<float> even(length / 2 + 1);
    std::vector<float> odd(length / 2);
    std::vector<double> frame(length);
    for (std::uint32_t i = 0; i < length; ++i) {
      const float value = uniform(random);
      (i % 2 == 0 ? even : odd)[i / 2] = value;
      frame[i] = static_cast<double>(value);
    }
    fl_power_spectrum(even.data(), odd.data(), length);
    for (std::uint32_t k = 0; k <= length / 2; ++k) {
      std::complex<double> sum = 0;
      for (std::uint32_t n = 0; n < length; ++n) {
        sum += frame[n] * std::polar(1.0, -2 * kPi * static_cast<double>(k * n % length) / length);
      }
      EXPECT_NEAR(static_cast<double>(even[k]), std::norm(sum) / length, 2e-6)
          << length << " " << k;
    }
  }
}

}  // namespace
