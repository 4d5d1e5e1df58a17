// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/training_set.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMinClasses = 2;
constexpr std::size_t kMaxClasses = 32;
constexpr std::int64_t kMaxResampledValues = std::int64_t{1} << 27;  // 512 MiB.
// Of one side; trainers hold it in memory. 1 GiB.
constexpr std::int64_t kMaxSideValues = std::int64_t{1} << 28;
constexpr char kDeviceKey[] = "device";

// The line of proto DatasetVersion.digest.
std::string DigestLine(const SourceSample& sample) {
  return absl::StrCat(sample.digest, "\t", sample.testing ? "testing" : "training", "\t",
                      absl::StrJoin(sample.labels, ",",
                                    [](std::string* out, const ReadingRange& range) {
                                      absl::StrAppend(out, range.start, ":", range.end, ":",
                                                      range.label);
                                    }),
                      "\n");
}

std::int32_t Milliseconds(std::int64_t reading, double frequency_hz) {
  const double ms = std::round(static_cast<double>(reading) * 1000.0 / frequency_hz);
  return static_cast<std::int32_t>(
      std::min(ms, static_cast<double>(std::numeric_limits<std::int32_t>::max())));
}

absl::Status Unusable(const SourceSample& sample, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(sample.name, ": ", why));
}

}  // namespace

absl::StatusOr<PreparedSample> PrepareSample(const SourceSample& sample, const Window& window) {
  if (sample.axes.empty() || sample.values.size() % sample.axes.size() != 0) {
    return Unusable(sample,
                    absl::StrCat("got ", sample.values.size(), " values, want a multiple of ",
                                 sample.axes.size(), " axes"));
  }
  const auto readings = static_cast<std::int64_t>(sample.values.size() / sample.axes.size());
  const double to_hz = window.frequency_hz;
  // A single reading has no rate.
  const double from_hz = sample.frequency_hz > 0 ? sample.frequency_hz : to_hz;
  if (sample.frequency_hz <= 0 && readings > 1) {
    return Unusable(sample, "frequency_hz: got none, want above 0");
  }
  const double wanted =
      static_cast<double>(readings) * to_hz / from_hz * static_cast<double>(window.axes.size());
  if (wanted > static_cast<double>(kMaxResampledValues)) {
    return Unusable(sample, absl::StrCat("too long: ", wanted, " values at ", to_hz,
                                         " Hz, want at most ", kMaxResampledValues));
  }
  Recording recording{.values = sample.values,
                      .axes = static_cast<int>(sample.axes.size()),
                      .frequency_hz = from_hz};
  absl::StatusOr<Recording> selected = SelectAxes(recording, sample.axes, window.axes);
  if (!selected.ok()) {
    return Unusable(sample, selected.status().message());
  }
  PreparedSample prepared{.recording = Resample(*selected, to_hz), .ranges = {}};
  for (const ReadingRange& range : sample.labels) {
    prepared.ranges.push_back(ResampleRange(range, from_hz, to_hz));
  }
  if (window.pad_short) {
    PadShort(window.length, prepared.recording, prepared.ranges);
  }
  prepared.readings =
      static_cast<std::int64_t>(prepared.recording.values.size() / window.axes.size());
  for (const float value : prepared.recording.values) {
    if (!std::isfinite(value)) {
      return Unusable(sample, "got a value that is not finite");
    }
  }
  return prepared;
}

TrainingSetBuilder::TrainingSetBuilder(const ImpulseRecipe& recipe, TrainingSetWriter& writer,
                                       std::vector<std::string> classes)
    : recipe_(recipe), writer_(writer), classes_(std::move(classes)) {}

std::int32_t TrainingSetBuilder::GroupOf(const SourceSample& sample) {
  const std::string& key = recipe_.learning.group_key;
  // Samples that do not say stand for themselves; the prefixes keep the two kinds apart.
  std::string group = absl::StrCat("sample/", samples_);
  if (key == kDeviceKey && !sample.device.empty()) {
    group = absl::StrCat("group/", sample.device);
  } else if (!key.empty()) {
    const auto found = sample.metadata.find(key);
    if (found != sample.metadata.end()) {
      group = absl::StrCat("group/", found->second);
    }
  }
  return group_ids_.emplace(group, static_cast<std::int32_t>(group_ids_.size())).first->second;
}

std::int32_t TrainingSetBuilder::LabelId(const std::string& label) {
  const auto [entry, is_new] = label_ids_.emplace(label, static_cast<std::int32_t>(labels_.size()));
  if (is_new) {
    labels_.push_back(label);
  }
  return entry->second;
}

absl::Status TrainingSetBuilder::Add(const SourceSample& sample) {
  digest_.Update(DigestLine(sample));
  const Window& window = recipe_.window;
  FIELDLOOP_ASSIGN_OR_RETURN(const PreparedSample prepared, PrepareSample(sample, window));
  const std::int64_t stride = sample.testing ? window.stride : TrainingStride(recipe_);
  const double purity = sample.testing ? 1.0 : recipe_.label_purity;
  const std::vector<LabelledWindow> windows =
      CutWindows(prepared.readings, static_cast<int>(window.length), static_cast<int>(stride),
                 purity, prepared.ranges);
  const std::size_t axes = window.axes.size();
  const std::size_t count = static_cast<std::size_t>(window.length) * axes;
  const std::size_t side_windows =
      (sample.testing ? rows_.test.size() : rows_.train.size()) + windows.size();
  if (static_cast<std::int64_t>(side_windows * count) > kMaxSideValues) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ", sample.testing ? "testing" : "training", " side has more than ",
                     kMaxSideValues / static_cast<std::int64_t>(count), " windows of ", count,
                     " values, more than a trainer can hold; want fewer samples, a lower "
                     "frequency_hz or a longer ",
                     sample.testing ? "window.stride" : "learning.training_stride"));
  }
  const std::int32_t group = sample.testing || windows.empty() ? 0 : GroupOf(sample);
  for (const LabelledWindow& cut : windows) {
    FIELDLOOP_RETURN_IF_ERROR(writer_.Append(
        sample.testing ? Side::kTesting : Side::kTraining,
        prepared.recording.values.data() + static_cast<std::size_t>(cut.start) * axes, count));
    const WindowRow row{.label = LabelId(cut.label),
                        .sample = samples_,
                        .start_ms = Milliseconds(cut.start, window.frequency_hz),
                        .end_ms = Milliseconds(cut.start + window.length, window.frequency_hz)};
    if (sample.testing) {
      rows_.test.push_back(row);
    } else {
      rows_.train.push_back(row);
      rows_.train_groups.push_back(group);
      rows_.train_sources.push_back(sample.from_device ? 1 : 0);
    }
  }
  ++samples_;
  return absl::OkStatus();
}

absl::StatusOr<TrainingSetSummary> TrainingSetBuilder::Finish(absl::string_view version_digest) {
  if (const std::string digest = ToHex(digest_.Finish()); digest != version_digest) {
    return absl::DataLossError(absl::StrCat("the exported samples have the digest ", digest,
                                            ", the dataset version says ", version_digest));
  }
  std::set<std::string> trained;
  for (const WindowRow& row : rows_.train) {
    trained.insert(labels_[static_cast<std::size_t>(row.label)]);
  }
  TrainingSetSummary summary;
  if (!classes_.empty()) {
    summary.classes = classes_;
    if (std::none_of(classes_.begin(), classes_.end(),
                     [&trained](const std::string& name) { return trained.count(name) > 0; })) {
      return absl::FailedPreconditionError(
          absl::StrCat("the training side has no window of ", absl::StrJoin(classes_, ", ")));
    }
  } else if (trained.size() < kMinClasses || trained.size() > kMaxClasses) {
    return absl::FailedPreconditionError(
        absl::StrCat("the training side has ", rows_.train.size(), " windows of ", trained.size(),
                     " labels, want ", kMinClasses, " to ", kMaxClasses, " labels"));
  } else {
    summary.classes.assign(trained.begin(), trained.end());
  }
  // Index from 1 of each label's class; 0 for a label that is none.
  std::vector<std::int32_t> class_of(labels_.size(), 0);
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    const auto found = std::find(summary.classes.begin(), summary.classes.end(), labels_[i]);
    if (found != summary.classes.end()) {
      class_of[i] = static_cast<std::int32_t>(found - summary.classes.begin()) + 1;
    }
  }
  for (WindowRow& row : rows_.train) {
    row.label = class_of[static_cast<std::size_t>(row.label)];
  }
  std::vector<WindowRow> test;
  for (WindowRow& row : rows_.test) {
    row.label = class_of[static_cast<std::size_t>(row.label)];
    rows_.test_kept.push_back(row.label != 0);
    if (row.label != 0) {
      test.push_back(row);
    }
  }
  rows_.test = std::move(test);
  FIELDLOOP_RETURN_IF_ERROR(writer_.Finish(rows_));
  summary.training_windows = static_cast<std::int64_t>(rows_.train.size());
  summary.testing_windows = static_cast<std::int64_t>(rows_.test.size());
  return summary;
}

}  // namespace fieldloop::build
