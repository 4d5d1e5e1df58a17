// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/augmentation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <numbers>
#include <utility>
#include <vector>

#include "services/build/packaging/feature_extractor.h"

namespace fieldloop::build::trainer {
namespace {

constexpr std::size_t kGroup = 3;
using Vector3 = std::array<double, kGroup>;
using Matrix3 = std::array<Vector3, kGroup>;

constexpr std::array<Vector3, 4> kHalfTurns = {{{1, 1, 1}, {1, -1, -1}, {-1, 1, -1}, {-1, -1, 1}}};

// Rotation about a unit axis (Rodrigues).
Matrix3 RotationAbout(const Vector3& axis, double angle) {
  const auto [x, y, z] = axis;
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  const double t = 1 - c;
  return {{{t * x * x + c, t * x * y - s * z, t * x * z + s * y},
           {t * x * y + s * z, t * y * y + c, t * y * z - s * x},
           {t * x * z - s * y, t * y * z + s * x, t * z * z + c}}};
}

// Uniform on the sphere.
Vector3 RandomDirection(Random& random) {
  while (true) {
    const Vector3 v = {random.Normal(), random.Normal(), random.Normal()};
    const double norm = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    if (norm > 0) {
      return {v[0] / norm, v[1] / norm, v[2] / norm};
    }
  }
}

}  // namespace

Augmenter::Augmenter(const AugmentationOptions& options, std::size_t axes,
                     const NpyArray<float>& windows)
    : options_(options), axes_(axes), length_(windows.columns() / axes), deviation_(axes, 0.0) {
  const std::size_t readings = windows.values.size() / axes;
  for (std::size_t axis = 0; axis < axes && readings > 0; ++axis) {
    double sum = 0;
    for (std::size_t i = axis; i < windows.values.size(); i += axes) {
      sum += static_cast<double>(windows.values[i]);
    }
    const double mean = sum / static_cast<double>(readings);
    double squares = 0;
    for (std::size_t i = axis; i < windows.values.size(); i += axes) {
      const double difference = static_cast<double>(windows.values[i]) - mean;
      squares += difference * difference;
    }
    deviation_[axis] = std::sqrt(squares / static_cast<double>(readings));
  }
}

void Augmenter::MakeCopy(const float* window, Random& random, float* copy) const {
  std::vector<float> shifted;
  if (options_.time_shift > 0) {
    const auto most = static_cast<std::ptrdiff_t>(
        std::min(static_cast<std::size_t>(options_.time_shift), length_));
    const std::ptrdiff_t shift =
        static_cast<std::ptrdiff_t>(random.Below(static_cast<std::size_t>(2 * most + 1))) - most;
    const auto values = static_cast<std::ptrdiff_t>(axes_) * std::abs(shift);
    const auto all = static_cast<std::ptrdiff_t>(axes_ * length_);
    shifted.assign(axes_ * length_, 0.0F);
    std::copy(window + (shift < 0 ? values : 0), window + all - (shift > 0 ? values : 0),
              shifted.begin() + (shift > 0 ? values : 0));
    window = shifted.data();
  }
  const Vector3 direction = RandomDirection(random);
  const double angle = random.Normal() * options_.rotation_degrees * std::numbers::pi / 180.0;
  Matrix3 turn = RotationAbout(direction, angle);
  if (options_.half_turns) {
    const Vector3& signs = kHalfTurns[random.Below(kHalfTurns.size())];
    for (Vector3& row : turn) {
      for (std::size_t i = 0; i < kGroup; ++i) {
        row[i] *= signs[i];  // The half turn comes first.
      }
    }
  }
  for (std::size_t first = 0; first < axes_; first += kGroup) {
    const bool whole = first + kGroup <= axes_;
    const std::size_t size = whole ? kGroup : axes_ - first;
    const double gain = std::exp(random.Normal() * options_.gain);
    for (std::size_t reading = 0; reading < length_; ++reading) {
      const float* in = window + reading * axes_ + first;
      float* out = copy + reading * axes_ + first;
      for (std::size_t i = 0; i < size; ++i) {
        double value = static_cast<double>(in[i]);
        if (whole) {
          value = turn[i][0] * static_cast<double>(in[0]) +
                  turn[i][1] * static_cast<double>(in[1]) + turn[i][2] * static_cast<double>(in[2]);
        }
        out[i] = static_cast<float>(gain * value);
      }
    }
  }
  if (options_.noise > 0) {
    for (std::size_t i = 0; i < length_ * axes_; ++i) {
      const double noise = random.Normal() * options_.noise * deviation_[i % axes_];
      copy[i] = static_cast<float>(static_cast<double>(copy[i]) + noise);
    }
  }
}

FeatureMasker::FeatureMasker(const AugmentationOptions& options,
                             const fieldloop::agent::v1::Impulse& impulse)
    : options_(options) {
  const auto axes =
      static_cast<std::size_t>(impulse.window().axes_size() + impulse.magnitudes_size());
  std::size_t first = 0;
  for (const auto& block : impulse.blocks()) {
    const std::size_t count = CountFeatures(impulse, block);
    if (block.has_mfe() || block.has_mfcc()) {
      const std::size_t width =
          block.has_mfe() ? block.mfe().filter_count() : block.mfcc().coefficient_count();
      blocks_.push_back(
          {.first = first, .axes = axes, .steps = count / axes / width, .width = width});
    }
    first += count;
  }
}

void FeatureMasker::Mask(Random& random, float* features) const {
  // First place and width of a band.
  const auto band = [&random](int largest, std::size_t room) {
    const std::size_t most = std::min(static_cast<std::size_t>(largest), room);
    const std::size_t width = random.Below(most + 1);
    return std::pair{random.Below(room - width + 1), width};
  };
  for (const Block& block : blocks_) {
    const auto [first_step, steps] = band(options_.time_mask, block.steps);
    const auto [first_filter, filters] = band(options_.frequency_mask, block.width);
    for (std::size_t row = 0; row < block.axes * block.steps; ++row) {
      float* values = features + block.first + row * block.width;
      const std::size_t step = row % block.steps;
      if (step >= first_step && step < first_step + steps) {
        std::fill(values, values + block.width, 0.0F);
      } else {
        std::fill(values + first_filter, values + first_filter + filters, 0.0F);
      }
    }
  }
}

}  // namespace fieldloop::build::trainer
