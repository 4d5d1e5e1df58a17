// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/even_rate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/signal/windows.h"

namespace fieldloop::ingestion {
namespace {

constexpr double kMsInSecond = 1000.0;
constexpr double kRoundingMs = 0.5;
constexpr double kMaxJitter = 0.05;
constexpr double kGapSteps = 5.0;
constexpr double kMaxGrowth = 10.0;
// Times of about 1e12 ms (Unix) carry errors of about 1e-4 ms.
constexpr double kTimeEpsilonMs = 1e-3;

bool IsEven(const std::vector<double>& times_ms, double step_ms) {
  const double tolerance = std::min(kRoundingMs, step_ms * kMaxJitter) + kTimeEpsilonMs;
  for (std::size_t i = 0; i < times_ms.size(); ++i) {
    const double expected = times_ms.front() + step_ms * static_cast<double>(i);
    if (std::abs(times_ms[i] - expected) > tolerance) {
      return false;
    }
  }
  return true;
}

double MedianOf(std::vector<double> numbers) {
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  if (numbers.size() % 2 == 1) {
    return *middle;
  }
  return (*std::max_element(numbers.begin(), middle) + *middle) / 2;
}

}  // namespace

absl::Status MakeEven(const std::vector<double>& times_ms, std::vector<float> values,
                      const std::function<std::string(std::size_t)>& line_of,
                      ParsedRecording& recording) {
  const std::size_t readings = times_ms.size();
  recording.readings = static_cast<std::int64_t>(readings);
  if (readings < 2) {
    recording.values = std::move(values);
    return absl::OkStatus();
  }
  const double span_ms = times_ms.back() - times_ms.front();
  const double mean_step_ms = span_ms / static_cast<double>(readings - 1);
  const bool even = IsEven(times_ms, mean_step_ms);
  std::vector<double> steps_ms(readings - 1);
  std::size_t widest = 0;
  for (std::size_t i = 0; i + 1 < readings; ++i) {
    steps_ms[i] = times_ms[i + 1] - times_ms[i];
    widest = steps_ms[i] > steps_ms[widest] ? i : widest;
  }
  const double widest_ms = steps_ms[widest];
  const double step_ms = even ? mean_step_ms : MedianOf(std::move(steps_ms));
  const double frequency_hz = kMsInSecond / step_ms;
  if (!(frequency_hz <= kMaxFrequencyHz)) {
    return absl::InvalidArgumentError(
        absl::StrCat(line_of(1), ": got a step of ", step_ms, " ms, want at least ",
                     kMsInSecond / kMaxFrequencyHz, " ms: timestamps are in milliseconds"));
  }
  recording.frequency_hz = frequency_hz;
  if (even) {
    recording.values = std::move(values);
    return absl::OkStatus();
  }

  const double even_readings = std::floor(span_ms / step_ms) + 1;
  const auto axes = static_cast<double>(recording.axes.size());
  if (even_readings > kMaxGrowth * static_cast<double>(readings) ||
      even_readings * axes > static_cast<double>(kMaxValues)) {
    return absl::InvalidArgumentError(absl::StrCat(
        line_of(widest + 1), ": got a gap of ", widest_ms, " ms where the median step is ", step_ms,
        " ms, want a recording without long gaps: cut it there"));
  }
  if (widest_ms > kGapSteps * step_ms) {
    recording.flags.emplace_back(kGap);
  }
  Recording resampled =
      ResampleUneven(times_ms, values, static_cast<int>(recording.axes.size()), frequency_hz);
  recording.values = std::move(resampled.values);
  recording.readings = static_cast<std::int64_t>(recording.values.size() / recording.axes.size());
  recording.resampling = "linear";
  return absl::OkStatus();
}

}  // namespace fieldloop::ingestion
