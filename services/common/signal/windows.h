// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SIGNAL_WINDOWS_H_
#define FIELDLOOP_SERVICES_COMMON_SIGNAL_WINDOWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// A recording at an even rate: values[reading * axes + axis].
struct Recording {
  std::vector<float> values;
  int axes = 0;
  double frequency_hz = 0;
};

// A label of the readings start to end, both inclusive.
struct ReadingRange {
  std::int64_t start = 0;
  std::int64_t end = 0;  // -1: the last reading.
  std::string label;
};

// Resamples by linear interpolation between the two nearest readings; the first reading stays where
// it is. Returns the recording as it is when the rates are equal. Every axis keeps its place.
Recording Resample(const Recording& recording, double frequency_hz);

// The same change of rate for a range of readings.
ReadingRange ResampleRange(const ReadingRange& range, double from_hz, double to_hz);

// Puts uneven readings on an even grid by linear interpolation. `times_ms` ascends strictly (equal
// or earlier times are dropped by the caller). `values` is as in Recording.
Recording ResampleUneven(const std::vector<double>& times_ms, const std::vector<float>& values,
                         int axes, double frequency_hz);

// Puts a recording that is shorter than `length` readings into the middle of as many, between
// zeros. Ranges that begin with the first reading, or end with the last, then begin or end with the
// window.
void PadShort(std::int64_t length, Recording& recording, std::vector<ReadingRange>& ranges);

// One window of a recording.
struct LabelledWindow {
  std::int64_t start = 0;  // First reading.
  std::string label;
};

// Cuts `readings` readings into windows of `length` every `stride`, and keeps those of whose
// readings at least the share `purity` carries one label. `ranges` must not overlap.
std::vector<LabelledWindow> CutWindows(std::int64_t readings, int length, int stride, double purity,
                                       const std::vector<ReadingRange>& ranges);

// Returns `recording` with only the axes named in `wanted`, in that order. INVALID_ARGUMENT naming
// an axis that is missing.
absl::StatusOr<Recording> SelectAxes(const Recording& recording,
                                     const std::vector<std::string>& axes,
                                     const std::vector<std::string>& wanted);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SIGNAL_WINDOWS_H_
