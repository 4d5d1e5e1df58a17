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

TEST(FloatMath, CosineIsTheNearestFloat) {
  for (std::uint32_t i = 0; i < 2 * FL_FFT_MAX_LENGTH; ++i) {
    const double want = std::cos(2 * kPi * i / FL_FFT_MAX_LENGTH);
    EXPECT_NEAR(static_cast<double>(fl_cosine(i)), want, std::abs(want) * 6e-8 + 1e-15) << i;
  }
}

TEST(FloatMath, FftEqualsTheDirectTransform) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::uint32_t length = 2; length <= FL_FFT_MAX_LENGTH; length *= 2) {
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
      EXPECT_NEAR(static_cast<double>(real[k]), want[k].real(), 5e-6) << length << " " << k;
      EXPECT_NEAR(static_cast<double>(imaginary[k]), want[k].imag(), 5e-6) << length << " " << k;
    }
  }
}

}  // namespace
