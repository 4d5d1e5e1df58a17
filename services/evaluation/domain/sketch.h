// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SKETCH_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SKETCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/model.h"
#include "services/evaluation/domain/statistics.h"

namespace fieldloop::evaluation {

struct ChannelSketch {
  Histogram bins;
  double mean = 0;
  double m2 = 0;
  double min = 0;
  double max = 0;

  friend bool operator==(const ChannelSketch&, const ChannelSketch&) = default;
};

// How a model did on one device over one period of signal.
struct Sketch {
  std::string device;  // "projects/x/devices/y".
  std::uint64_t sequence = 0;
  std::string model_digest;  // Hex.
  std::uint32_t reference_id = 0;
  absl::Time start_time;  // By the device's sensor clock.
  std::int64_t period_ms = 0;
  std::int64_t windows = 0;
  std::int64_t failures = 0;
  std::vector<std::int64_t> class_counts;
  std::vector<ChannelSketch> channels;

  friend bool operator==(const Sketch&, const Sketch&) = default;
};

// OK if the sketch fits the model that it names. FAILED_PRECONDITION, reason OTHER_REFERENCE, if it
// was counted into other bins; INVALID_ARGUMENT naming the field if lengths differ or bins do not
// sum to the windows.
absl::Status ValidateSketch(const Sketch& sketch, const Model& model);

// The fleet on one model over one span of sensor time.
struct FieldMetrics {
  absl::Time start_time;
  double seconds = 0;
  std::string model_digest;
  int device_count = 0;
  std::int64_t windows = 0;
  double mean_confidence = 0;
  double estimated_accuracy = 0;  // CBPE; see docs/drift.md.
  std::vector<double> class_shares;
};

// Adds sketches of one model in one span.
class FieldMetricsSum {
 public:
  void Add(const Sketch& sketch);
  // `model` is null when it is not known any more: then there is no confidence and no estimate.
  FieldMetrics Finish(const Model* model) const;

 private:
  std::vector<std::string> devices_;  // Sorted, each once.
  std::int64_t windows_ = 0;
  std::vector<std::int64_t> class_counts_;
  std::vector<Histogram> channels_;
  std::vector<double> value_sums_;  // Per channel: sum of mean x windows.
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_SKETCH_H_
