// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_EVALUATION_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_EVALUATION_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/statistics.h"

namespace fieldloop::evaluation {

enum class EvaluationState { kQueued = 1, kRunning = 2, kSucceeded = 3, kFailed = 4 };

struct Metric {
  std::string name;
  double value = 0;
  double low = 0;  // 95 % interval; both 0 when there are fewer than kLeastGroups groups.
  double high = 0;
};

struct ConfusionRow {
  std::string label;
  std::vector<std::int64_t> predicted;
};

// What one group (a device or a person) contributed to one class of a slice.
struct ClassCount {
  std::int64_t windows = 0;
  std::int64_t model_right = 0;
  std::int64_t baseline_right = 0;
};

// The unit of resampling: windows of one device, person or recording are not independent.
struct Group {
  std::string name;
  std::int64_t samples = 0;
  std::map<std::string, ClassCount> classes;  // By label.
};

struct SliceResult {
  std::string slice;  // "all", "source=device", "source=upload", "key=value".
  std::int64_t windows = 0;
  std::vector<Metric> metrics;
  std::vector<ConfusionRow> confusion;  // Labels in the model's order, then those it does not know.
  std::int64_t only_model_right = 0;
  std::int64_t only_baseline_right = 0;
  double mcnemar_mid_p = 0;
  std::vector<Metric> baseline_metrics;  // Empty without a baseline.
  Metric difference;                     // Name empty without a baseline.
  std::vector<Group> groups;             // For the gate, which sets its own level.
};

struct Evaluation {
  std::string project;  // "projects/x".
  std::int64_t number = 0;
  std::string model;
  std::string dataset_version;
  std::string baseline_model;
  std::vector<std::string> slice_keys;
  EvaluationState state = EvaluationState::kQueued;
  double progress = 0;
  std::string error;
  std::vector<SliceResult> slices;
  absl::Time create_time;
  absl::Time end_time;  // Epoch while it is not done.
  // Of the call that queued it; empty: none is known. Not shown to clients.
  std::string traceparent;

  std::string name() const;
  bool done() const {
    return state == EvaluationState::kSucceeded || state == EvaluationState::kFailed;
  }
};

// One window of the testing side and what was said of it.
struct JudgedWindow {
  std::string label;
  int predicted = 0;           // Index in the model's classes.
  std::string baseline_class;  // What the baseline said; unused without one.
};

// One recording of the testing side after judging.
struct JudgedSample {
  std::string group;                // Device, person, or the sample itself.
  std::vector<std::string> slices;  // Those it belongs to besides "all".
  std::vector<JudgedWindow> windows;
};

// Intervals need this many groups; with fewer, the spread between groups cannot be seen.
inline constexpr int kLeastGroups = 3;
inline constexpr int kBootstrapRounds = 2000;

// Computes all slices: "all" first, then by name. A label that the model does not know counts as
// wrong and is a row of the confusion like any other.
std::vector<SliceResult> Summarise(const std::vector<JudgedSample>& samples,
                                   const std::vector<std::string>& classes, bool with_baseline);

// Which side of a comparison a metric is taken of.
enum class Side { kModel, kBaseline, kDifference };

struct Estimate {
  double value = 0;
  Interval interval;
  bool has_interval = false;
  bool defined = false;  // False when no window of the slice has the class.
};
// "accuracy", "balanced_accuracy" (mean recall over the classes that occur) or "recall/<class>" of
// groups, with an interval by percentile bootstrap over groups: 2,000 rounds, seeded by the slice's
// name, so that a repeat gives the same numbers.
Estimate EstimateMetric(const std::vector<Group>& groups, absl::string_view slice,
                        absl::string_view metric, Side side, double confidence);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_EVALUATION_H_
