// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_DRIFT_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_DRIFT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/evaluation/domain/policy.h"
#include "services/evaluation/domain/statistics.h"

namespace fieldloop::evaluation {

// Finds drift of the signal under a model. The method, its sources and its limits are in
// docs/drift.md; in short: each device is held against its own baseline, and the yardstick is how
// far parts of that baseline as long as the recent time lie from the rest of it.

struct Period {
  absl::Time start_time;
  std::int64_t period_ms = 0;
  std::vector<Histogram> channels;
};

struct DevicePeriods {
  std::string device;
  std::vector<Period> baseline;  // Oldest first, baseline_periods of them.
  std::vector<Period> recent;    // Oldest first, recent_periods of them.
};

struct ChannelDrift {
  std::string channel;
  double mean_shift_bins = 0;
  double p_value = 1;
  double median_excess_bins = 0;  // Over devices; what min_effect_bins is held against.
  int drifted_devices = 0;
  double mean_w1_bins = 0;
  double psi = 0;
};

enum class DriftVerdict { kLearning = 1, kSteady = 2, kDrift = 3 };

struct DriftReport {
  std::string project;
  std::int64_t number = 0;
  DriftVerdict verdict = DriftVerdict::kLearning;
  std::string model_digest;
  int look = 0;  // From 1; 0 while learning.
  int device_count = 0;
  int drifted_devices = 0;
  std::vector<ChannelDrift> channels;
  double statistic = 0;
  double limit = 0;
  absl::Time recent_start_time;
  absl::Time recent_end_time;
  std::string explanation;
  absl::Time create_time;

  std::string name() const;
};

// Looks at devices that all have a whole baseline and whole recent periods. Sets verdict, look,
// counts, channels, statistic, limit, times and explanation. At least one device; `policy` has at
// least two recent-sized blocks in the baseline.
DriftReport AnalyseDrift(const std::vector<DevicePeriods>& devices,
                         const std::vector<std::string>& channel_names, const DriftPolicy& policy,
                         int look);

// One device's periods so far under one model, as the store counts them.
struct DeviceProgress {
  std::string device;
  std::int64_t periods = 0;         // Since it got the model.
  std::int64_t looked_periods = 0;  // The same at the last look.
  bool silent = false;              // Had delivered nothing new at the last look.
};

enum class LookKind { kNone, kLearning, kTest };

// Says whether it is time to look, from counts alone and without a clock:
// * of the devices that were not silent, at least 80 % have a new period, or one device has
//   recent_periods new ones, so that devices that fell silent cannot hold the looks up;
// * kTest if at least half of the devices with a new period (and at least one) have a whole
// baseline
//   and whole recent periods, else kLearning.
LookKind LookDue(const std::vector<DeviceProgress>& devices, const DriftPolicy& policy);

// True if the device takes part in a test now.
bool Ready(const DeviceProgress& device, const DriftPolicy& policy);

// A report for LookKind::kLearning.
DriftReport LearningReport(const std::vector<DeviceProgress>& devices, const DriftPolicy& policy);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_DRIFT_H_
