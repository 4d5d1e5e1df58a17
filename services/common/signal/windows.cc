// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/signal/windows.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fieldloop {
namespace {

// Interpolates all axes between readings `left` and `left + 1`.
void AppendInterpolated(const std::vector<float>& values, std::size_t axes, std::size_t left,
                        double share, std::vector<float>& out) {
  for (std::size_t axis = 0; axis < axes; ++axis) {
    const double a = values[left * axes + axis];
    const double b = share > 0 ? values[(left + 1) * axes + axis] : a;
    out.push_back(static_cast<float>(a + (b - a) * share));
  }
}

}  // namespace

Recording Resample(const Recording& recording, double frequency_hz) {
  const auto axes = static_cast<std::size_t>(recording.axes);
  const std::size_t readings = axes == 0 ? 0 : recording.values.size() / axes;
  if (readings < 2 || recording.frequency_hz == frequency_hz) {
    Recording same = recording;
    same.frequency_hz = frequency_hz;
    return same;
  }
  Recording out{.values = {}, .axes = recording.axes, .frequency_hz = frequency_hz};
  const double step = recording.frequency_hz / frequency_hz;
  const auto last = static_cast<double>(readings - 1);
  // A hair of tolerance keeps the last reading when the rates divide evenly.
  for (std::size_t i = 0;; ++i) {
    const double position = static_cast<double>(i) * step;
    if (position > last + 1e-9) {
      break;
    }
    const auto left = static_cast<std::size_t>(std::min(position, last));
    const double share = left + 1 < readings ? position - static_cast<double>(left) : 0.0;
    AppendInterpolated(recording.values, axes, left, share, out.values);
  }
  return out;
}

ReadingRange ResampleRange(const ReadingRange& range, double from_hz, double to_hz) {
  const double factor = to_hz / from_hz;
  ReadingRange out = range;
  out.start =
      static_cast<std::int64_t>(std::ceil(static_cast<double>(range.start) * factor - 1e-9));
  if (range.end >= 0) {
    // The range covers the time until its last reading ends.
    out.end =
        static_cast<std::int64_t>(std::ceil(static_cast<double>(range.end + 1) * factor - 1e-9)) -
        1;
  }
  return out;
}

Recording ResampleUneven(const std::vector<double>& times_ms, const std::vector<float>& values,
                         int axes, double frequency_hz) {
  Recording out{.values = {}, .axes = axes, .frequency_hz = frequency_hz};
  if (times_ms.empty()) {
    return out;
  }
  const auto width = static_cast<std::size_t>(axes);
  const double step_ms = 1000.0 / frequency_hz;
  std::size_t left = 0;
  for (std::size_t i = 0;; ++i) {
    const double time = times_ms.front() + static_cast<double>(i) * step_ms;
    if (time > times_ms.back() + 1e-6) {
      break;
    }
    while (left + 1 < times_ms.size() && times_ms[left + 1] <= time) {
      ++left;
    }
    const double share = left + 1 < times_ms.size()
                             ? (time - times_ms[left]) / (times_ms[left + 1] - times_ms[left])
                             : 0.0;
    AppendInterpolated(values, width, left, share, out.values);
  }
  return out;
}

void PadShort(std::int64_t length, Recording& recording, std::vector<ReadingRange>& ranges) {
  const auto axes = static_cast<std::int64_t>(recording.axes);
  const std::int64_t readings = static_cast<std::int64_t>(recording.values.size()) / axes;
  if (readings == 0 || readings >= length) {
    return;
  }
  const std::int64_t before = (length - readings) / 2;
  std::vector<float> values(static_cast<std::size_t>(length * axes));
  std::copy(recording.values.begin(), recording.values.end(), values.begin() + before * axes);
  recording.values = std::move(values);
  for (ReadingRange& range : ranges) {
    const bool to_the_end = range.end < 0 || range.end >= readings - 1;
    range.end = to_the_end ? length - 1 : range.end + before;
    range.start = range.start <= 0 ? 0 : range.start + before;
  }
}

std::vector<LabelledWindow> CutWindows(std::int64_t readings, int length, int stride, double purity,
                                       const std::vector<ReadingRange>& ranges) {
  std::vector<LabelledWindow> windows;
  const auto needed = static_cast<std::int64_t>(std::ceil(purity * length - 1e-9));
  for (std::int64_t start = 0; start + length <= readings; start += stride) {
    std::vector<std::pair<absl::string_view, std::int64_t>> held;
    for (const ReadingRange& range : ranges) {
      const std::int64_t end = range.end < 0 ? readings - 1 : range.end;
      const std::int64_t overlap =
          std::min(end, start + length - 1) - std::max(range.start, start) + 1;
      if (overlap <= 0) {
        continue;
      }
      const auto found = std::find_if(
          held.begin(), held.end(), [&](const auto& entry) { return entry.first == range.label; });
      if (found == held.end()) {
        held.emplace_back(range.label, overlap);
      } else {
        found->second += overlap;
      }
    }
    for (const auto& [label, count] : held) {
      if (count >= needed) {
        windows.push_back({.start = start, .label = std::string(label)});
        break;
      }
    }
  }
  return windows;
}

absl::StatusOr<Recording> SelectAxes(const Recording& recording,
                                     const std::vector<std::string>& axes,
                                     const std::vector<std::string>& wanted) {
  if (axes == wanted) {
    return recording;
  }
  std::vector<std::size_t> from;
  for (const std::string& name : wanted) {
    const auto found = std::find(axes.begin(), axes.end(), name);
    if (found == axes.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("axes: got ", absl::StrJoin(axes, ", "), ", want ", name, " among them"));
    }
    from.push_back(static_cast<std::size_t>(found - axes.begin()));
  }
  const std::size_t width = axes.size();
  const std::size_t readings = width == 0 ? 0 : recording.values.size() / width;
  Recording out{.values = {},
                .axes = static_cast<int>(wanted.size()),
                .frequency_hz = recording.frequency_hz};
  out.values.reserve(readings * wanted.size());
  for (std::size_t reading = 0; reading < readings; ++reading) {
    for (const std::size_t axis : from) {
      out.values.push_back(recording.values[reading * width + axis]);
    }
  }
  return out;
}

}  // namespace fieldloop
