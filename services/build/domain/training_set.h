// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINING_SET_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINING_SET_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/recipe.h"
#include "services/common/crypto/digest.h"
#include "services/common/signal/windows.h"

namespace fieldloop::build {

enum class Side : std::uint8_t { kTraining, kTesting };

// What is known of one window beside its values.
struct WindowRow {
  std::int32_t label = 0;     // Index into the classes, from 1.
  std::int32_t sample = 0;    // Index of the sample in the dataset version, from 0.
  std::int32_t start_ms = 0;  // Within the sample.
  std::int32_t end_ms = 0;
  friend bool operator==(const WindowRow&, const WindowRow&) = default;
};

// Everything of a training set but the windows' values.
struct TrainingRows {
  std::vector<WindowRow> train;
  std::vector<std::int32_t> train_groups;   // As many as `train`; from 0 in order of appearance.
  std::vector<std::int32_t> train_sources;  // 0 uploaded, 1 from a device.
  std::vector<WindowRow> test;
  std::vector<bool> test_kept;  // One for each testing window appended; true for those in `test`.
};

// Takes windows one by one, so that a training set need not fit into memory. Not thread-safe.
class TrainingSetWriter {
 public:
  TrainingSetWriter() = default;
  TrainingSetWriter(const TrainingSetWriter&) = delete;
  TrainingSetWriter& operator=(const TrainingSetWriter&) = delete;
  virtual ~TrainingSetWriter() = default;

  // Appends one window of length x axes values. RESOURCE_EXHAUSTED when the disk is full.
  virtual absl::Status Append(Side side, const float* values, std::size_t count) = 0;
  // Leaves out the testing windows that are not kept and makes everything readable. Call once.
  virtual absl::Status Finish(const TrainingRows& rows) = 0;
  // Gives the testing windows that were kept to `sink` in order, each with its values. Ends with
  // the sink's error if it returns one. ABORTED, after the last of them, if they are not what was
  // appended, because a trainer wrote over them. Only after Finish.
  using Sink =
      absl::FunctionRef<absl::Status(const WindowRow& row, const float* values, std::size_t count)>;
  virtual absl::Status ReadTesting(Sink sink) = 0;
};

// A sample as a window sees it: its axes at its rate, and the labels in readings of that rate.
struct PreparedSample {
  Recording recording;
  std::vector<ReadingRange> ranges;
  std::int64_t readings = 0;
};

// INVALID_ARGUMENT, naming the sample, if it lacks an axis, is too long or holds a value that is
// not finite.
absl::StatusOr<PreparedSample> PrepareSample(const SourceSample& sample, const Window& window);

struct TrainingSetSummary {
  std::vector<std::string> classes;  // Sorted; those with a training window.
  std::int64_t training_windows = 0;
  std::int64_t testing_windows = 0;
};

// Makes a training set from the samples of a dataset version: selects axes, resamples, cuts
// windows. The same samples in the same order give the same training set. Not thread-safe.
class TrainingSetBuilder {
 public:
  // Both must outlive the builder. `recipe` is complete. With `classes`, those are the classes, in
  // their order; training windows of other labels then get the label 0.
  TrainingSetBuilder(const ImpulseRecipe& recipe, TrainingSetWriter& writer,
                     std::vector<std::string> classes = {});

  // INVALID_ARGUMENT, naming the sample, if it cannot be used with the recipe; FAILED_PRECONDITION
  // if a side grows too large; errors of the writer.
  absl::Status Add(const SourceSample& sample);

  // FAILED_PRECONDITION if the training side has fewer than 2 or more than 32 classes, or none of
  // those that were given; DATA_LOSS if what was added is not what `version_digest` stands for;
  // errors of the writer.
  absl::StatusOr<TrainingSetSummary> Finish(absl::string_view version_digest);

 private:
  std::int32_t GroupOf(const SourceSample& sample);
  std::int32_t LabelId(const std::string& label);

  const ImpulseRecipe& recipe_;
  TrainingSetWriter& writer_;
  const std::vector<std::string> classes_;
  TrainingRows rows_;  // Labels are indices into `labels_` until Finish.
  std::vector<std::string> labels_;
  std::map<std::string, std::int32_t> label_ids_;
  std::map<std::string, std::int32_t> group_ids_;
  std::int32_t samples_ = 0;
  Sha256 digest_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINING_SET_H_
