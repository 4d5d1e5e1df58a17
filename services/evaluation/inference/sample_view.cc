// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/inference/sample_view.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace fieldloop::evaluation {

absl::StatusOr<SampleView> ViewOf(const TestingSample& sample, const Model& model) {
  const Recording whole{.values = sample.values,
                        .axes = static_cast<int>(sample.axes.size()),
                        .frequency_hz = sample.frequency_hz};
  absl::StatusOr<Recording> selected = SelectAxes(whole, sample.axes, model.axes);
  if (!selected.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(sample.name, " for ", model.name, ": ", selected.status().message()));
  }
  SampleView view;
  const std::int64_t last =
      static_cast<std::int64_t>(selected->values.size() / model.axes.size()) - 1;
  for (const LabelledRange& range : sample.ranges) {
    const ReadingRange whole_range{
        .start = range.start, .end = range.end < 0 ? last : range.end, .label = range.label};
    view.ranges.push_back(ResampleRange(whole_range, sample.frequency_hz, model.frequency_hz));
  }
  view.recording = Resample(*selected, model.frequency_hz);
  if (model.pad_short) {
    PadShort(model.window_length, view.recording, view.ranges);
  }
  view.readings = static_cast<std::int64_t>(view.recording.values.size() / model.axes.size());
  return view;
}

}  // namespace fieldloop::evaluation
