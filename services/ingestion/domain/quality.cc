// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/quality.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

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
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const Axis axis(values, i, axes.size());
    if (FillMissing(axis)) {
      AddAxisFlag(kNan, axes[i], flags);
    }
    if (axis.size() < 2) {
      continue;
    }
    float low = axis[0];
    float high = low;
    for (std::size_t k = 1; k < axis.size(); ++k) {
      low = std::min(low, axis[k]);
      high = std::max(high, axis[k]);
    }
    if (low == high) {
      AddAxisFlag(kFlat, axes[i], flags);
    } else if (IsClipped(axis, low, high, full_scale)) {
      AddAxisFlag(kClipping, axes[i], flags);
    }
  }
}

}  // namespace fieldloop::ingestion
