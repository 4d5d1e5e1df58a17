// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/even_rate.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/signal/windows.h"
#include "services/ingestion/domain/quality.h"

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

// Makes one reading of those with the same time. `labels` follow; one that covered only readings
// which went into an earlier one is left out. Returns the place in the file of each reading, or
// nothing when all stayed.
std::vector<std::size_t> MergeEqualTimes(std::vector<double>& times_ms,
                                         ParsedRecording& recording) {
  std::vector<std::size_t> places;
  if (std::adjacent_find(times_ms.begin(), times_ms.end()) == times_ms.end()) {
    return places;
  }
  const std::size_t axes = recording.axes.size();
  std::vector<float>& values = recording.values;
  std::vector<std::size_t> merged_into(times_ms.size());
  std::vector<double> sums(axes);
  std::size_t out = 0;
  for (std::size_t i = 0; i < times_ms.size(); ++out) {
    std::fill(sums.begin(), sums.end(), 0.0);
    const std::size_t first = i;
    for (; i < times_ms.size() && times_ms[i] == times_ms[first]; ++i) {
      merged_into[i] = out;
      for (std::size_t axis = 0; axis < axes; ++axis) {
        sums[axis] += values[i * axes + axis];
      }
    }
    for (std::size_t axis = 0; axis < axes; ++axis) {
      values[out * axes + axis] = static_cast<float>(sums[axis] / static_cast<double>(i - first));
    }
    times_ms[out] = times_ms[first];
    places.push_back(first);
  }
  times_ms.resize(out);
  values.resize(out * axes);
  std::vector<LabelRange> labels;
  for (LabelRange& range : recording.labels) {
    range.start = static_cast<std::int64_t>(merged_into[static_cast<std::size_t>(range.start)]);
    range.end = static_cast<std::int64_t>(merged_into[static_cast<std::size_t>(range.end)]);
    if (!labels.empty()) {  // A reading has one label: that of the first that went into it.
      range.start = std::max(range.start, labels.back().end + 1);
    }
    if (range.start <= range.end) {
      labels.push_back(std::move(range));
    }
  }
  recording.labels = std::move(labels);
  return places;
}

// The labels of readings at `times_ms` as labels of a grid that starts with them: a range covers
// the time from its first reading to the one after its last.
std::vector<LabelRange> LabelsOnGrid(const std::vector<LabelRange>& labels,
                                     const std::vector<double>& times_ms, double step_ms,
                                     std::int64_t readings) {
  const auto first_at = [&](double time_ms) {
    return static_cast<std::int64_t>(
        std::ceil((time_ms - times_ms.front() - kTimeEpsilonMs) / step_ms));
  };
  std::vector<LabelRange> moved;
  for (const LabelRange& range : labels) {
    const auto after = static_cast<std::size_t>(range.end) + 1;
    const std::int64_t end =
        after < times_ms.size() ? std::min(first_at(times_ms[after]), readings) : readings;
    const std::int64_t start =
        std::max<std::int64_t>(first_at(times_ms[static_cast<std::size_t>(range.start)]), 0);
    if (start < end) {
      moved.push_back({.start = start, .end = end - 1, .label = range.label});
    }
  }
  return moved;
}

}  // namespace

absl::Status MakeEven(std::vector<double> times_ms, double frequency_hz,
                      const std::function<std::string(std::size_t)>& line_of,
                      ParsedRecording& recording) {
  const std::vector<std::size_t> places = MergeEqualTimes(times_ms, recording);
  const auto line_at = [&](std::size_t reading) {
    return line_of(places.empty() ? reading : places[reading]);
  };
  const std::size_t readings = times_ms.size();
  recording.readings = static_cast<std::int64_t>(readings);
  if (readings < 2) {
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
  const double median_ms = even ? mean_step_ms : MedianOf(std::move(steps_ms));
  if (!(kMsInSecond / median_ms <= kMaxFrequencyHz)) {
    return absl::InvalidArgumentError(
        absl::StrCat(line_at(1), ": got a step of ", median_ms, " ms, want at least ",
                     kMsInSecond / kMaxFrequencyHz, " ms: timestamps are in milliseconds"));
  }
  if (even) {
    recording.frequency_hz = kMsInSecond / median_ms;
    return absl::OkStatus();
  }

  recording.frequency_hz = frequency_hz > 0 ? frequency_hz : kMsInSecond / median_ms;
  const double even_readings = std::floor(span_ms * recording.frequency_hz / kMsInSecond) + 1;
  if (span_ms / median_ms + 1 > kMaxGrowth * static_cast<double>(readings) ||
      even_readings * static_cast<double>(recording.axes.size()) >
          static_cast<double>(kMaxValues)) {
    return absl::InvalidArgumentError(absl::StrCat(
        line_at(widest + 1), ": got a gap of ", widest_ms, " ms where the median step is ",
        median_ms, " ms, want a recording without long gaps: cut it there"));
  }
  if (widest_ms > kGapSteps * median_ms) {
    recording.flags.emplace_back(kGap);
  }
  Recording resampled = ResampleUneven(
      times_ms, recording.values, static_cast<int>(recording.axes.size()), recording.frequency_hz);
  recording.values = std::move(resampled.values);
  recording.readings = static_cast<std::int64_t>(recording.values.size() / recording.axes.size());
  recording.labels = LabelsOnGrid(recording.labels, times_ms, kMsInSecond / recording.frequency_hz,
                                  recording.readings);
  recording.resampling = absl::StrCat("linear from irregular timestamps, median ", median_ms,
                                      " ms, to ", recording.frequency_hz, " Hz");
  return absl::OkStatus();
}

}  // namespace fieldloop::ingestion
