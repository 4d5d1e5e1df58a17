// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/quality.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kClippedRun = 3;

// One axis of interleaved readings.
class Axis {
 public:
  Axis(std::vector<float>& values, std::size_t axis, std::size_t axes)
      : values_(values), axis_(axis), axes_(axes), size_(values.size() / axes) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  float& operator[](std::size_t reading) const { return values_[reading * axes_ + axis_]; }

 private:
  std::vector<float>& values_;
  std::size_t axis_;
  std::size_t axes_;
  std::size_t size_;
};

// The loops that see every value of every recording have no branches: compilers make vector
// instructions of them.

bool AllFinite(const std::vector<float>& values) {
  constexpr std::uint32_t kNotFinite = 0x7f800000;  // The exponent of infinities and NaN.
  std::uint32_t others = 0;
  for (const float value : values) {
    others |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & kNotFinite) ==
                                         kNotFinite);
  }
  return others == 0;
}

// Whether an axis has the same value in kClippedRun readings in a row.
bool HasRun(const std::vector<float>& values, std::size_t axes) {
  static_assert(kClippedRun == 3);
  if (values.size() < kClippedRun * axes) {
    return false;
  }
  const float* const first = values.data();
  const float* const second = first + axes;
  const float* const third = second + axes;
  std::uint32_t runs = 0;
  for (std::size_t i = 0; i < values.size() - 2 * axes; ++i) {
    runs |= static_cast<std::uint32_t>(first[i] == second[i]) &
            static_cast<std::uint32_t>(second[i] == third[i]);
  }
  return runs != 0;
}

// The smallest and the largest of `size` values, which are finite.
template <typename Values>
std::pair<float, float> RangeOf(const Values& values, std::size_t size) {
  constexpr std::size_t kLanes = 8;
  std::array<float, kLanes> low;
  std::array<float, kLanes> high;
  low.fill(values[0]);
  high.fill(values[0]);
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      low[lane] = value < low[lane] ? value : low[lane];
      high[lane] = value > high[lane] ? value : high[lane];
    }
  }
  for (; i < size; ++i) {
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
  }
  return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
}

// Puts finite values in the place of others. True if there were others.
bool FillMissing(const Axis& axis) {
  bool missing = false;
  std::size_t i = 0;
  while (i < axis.size()) {
    if (std::isfinite(axis[i])) {
      ++i;
      continue;
    }
    missing = true;
    const std::size_t first = i;
    while (i < axis.size() && !std::isfinite(axis[i])) {
      ++i;
    }
    const bool has_left = first > 0;
    const bool has_right = i < axis.size();
    const double left = has_left ? axis[first - 1] : has_right ? axis[i] : 0;
    const double right = has_right ? axis[i] : left;
    const auto steps = static_cast<double>(i - first + 1);
    for (std::size_t k = first; k < i; ++k) {
      const double share = static_cast<double>(k - first + 1) / steps;
      axis[k] = static_cast<float>(left + (right - left) * share);
    }
  }
  return missing;
}

bool IsClipped(const Axis& axis, float low, float high,
               const std::optional<FullScale>& full_scale) {
  std::size_t at_extremes = 0;
  std::size_t between = 0;
  bool only_two_values = true;  // Then it is a switch.
  for (std::size_t i = 0; i < axis.size();) {
    const float value = axis[i];
    const bool extreme = value == low || value == high;
    only_two_values = only_two_values && extreme;
    std::size_t end = i + 1;
    while (end < axis.size() && axis[end] == value) {
      ++end;
    }
    if (end - i >= kClippedRun) {
      if (full_scale.has_value() && (value <= full_scale->lowest || value >= full_scale->highest)) {
        return true;
      }
      ++(extreme ? at_extremes : between);
    }
    i = end;
  }
  return at_extremes > between && !only_two_values;
}

}  // namespace

void AddAxisFlag(absl::string_view flag, absl::string_view axis, std::vector<std::string>& flags) {
  flags.emplace_back(flag);
  flags.push_back(absl::StrCat(flag, ":", axis));
}

void SortFlags(std::vector<std::string>& flags) {
  std::sort(flags.begin(), flags.end());
  flags.erase(std::unique(flags.begin(), flags.end()), flags.end());
}

void CheckReadings(const std::vector<std::string>& axes, const std::optional<FullScale>& full_scale,
                   std::vector<float>& values, std::vector<std::string>& flags) {
  const bool all_finite = AllFinite(values);
  const bool has_run = !all_finite || HasRun(values, axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Axis axis(values, i, axes.size());
    if (!all_finite && FillMissing(axis)) {
      AddAxisFlag(kNan, axes[i], flags);
    }
    if (axis.size() < 2) {
      continue;
    }
    const auto [low, high] =
        axes.size() == 1 ? RangeOf(values, values.size()) : RangeOf(axis, axis.size());
    if (low == high) {
      AddAxisFlag(kFlat, axes[i], flags);
    } else if (has_run && IsClipped(axis, low, high, full_scale)) {
      AddAxisFlag(kClipping, axes[i], flags);
    }
  }
}

}  // namespace fieldloop::ingestion
