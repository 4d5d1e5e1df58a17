// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_POLICY_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_POLICY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fieldloop::evaluation {

// What a policy says. docs/policy.md lists every key with its range; the defaults are the values
// here.

struct DriftPolicy {
  int baseline_periods = 36;        // Sketches that make a device's baseline.
  int recent_periods = 8;           // Newest sketches that are held against it.
  double fleet_alpha = 0.01;        // Chance of a false fleet alarm in any 288 looks in a row.
  double device_fdr = 0.05;         // Benjamini-Hochberg level over devices in one look.
  double min_effect_bins = 1.0;     // Least excess over the baseline's own unrest, in bins.
  int min_devices = 3;              // Drifted devices that raise an alarm by themselves, ...
  double min_drifted_percent = 10;  // ... if they are this share of the devices looked at.

  friend bool operator==(const DriftPolicy&, const DriftPolicy&) = default;
};

struct TriggerPolicy {
  std::optional<DriftPolicy> drift;             // Unset: drift is reported, but starts nothing.
  std::int64_t labelled_samples = 0;            // New labelled samples; 0: off.
  absl::Duration every = absl::ZeroDuration();  // Zero: off.

  friend bool operator==(const TriggerPolicy&, const TriggerPolicy&) = default;
};

struct CollectPolicy {
  std::map<std::string, std::string> attributes;  // Of the devices that are asked; empty: all.
  int samples_per_device_per_period = 4;
  int samples_per_device = 40;  // In the whole collection; 0: no limit.
  double random_share = 0.5;
  std::int64_t labelled_samples = 0;  // Enough when this many of devices are labelled, ...
  std::int64_t per_class = 0;         // ... of every class of the champion this many, ...
  std::int64_t testing_samples = 0;   // ... and this many of them on the testing side.
  absl::Duration timeout = absl::Hours(24 * 7);

  friend bool operator==(const CollectPolicy&, const CollectPolicy&) = default;
};

struct BuildPolicy {
  std::string impulse;  // Id; the newest version is built.
  std::string dataset;  // Id.
  std::uint32_t seed = 1;

  friend bool operator==(const BuildPolicy&, const BuildPolicy&) = default;
};

enum class GateTest { kSuperior, kNotWorse, kAtLeast };

struct GateRule {
  std::string slice = "all";
  std::string metric = "balanced_accuracy";  // Or "accuracy", "recall/<class>".
  GateTest test = GateTest::kNotWorse;
  double alpha = 0.05;  // One-sided.
  double margin = 0;    // Superior by more than it; not worse by more than it.
  double value = 0;     // For kAtLeast.

  friend bool operator==(const GateRule&, const GateRule&) = default;
};

enum class OnInconclusive { kApprove, kReject };

struct StagePolicy {
  double percent = 100;
  double confirm_percent = 100;
  absl::Duration soak = absl::ZeroDuration();

  friend bool operator==(const StagePolicy&, const StagePolicy&) = default;
};

// 5, 25 and 100 percent.
std::vector<StagePolicy> DefaultStages();

struct RolloutPolicy {
  bool approval_required = true;
  std::vector<StagePolicy> stages = DefaultStages();
  double failure_percent = 10;
  int failure_count = 1;
  absl::Duration device_timeout = absl::Hours(1);
  std::vector<std::string> hardware_ids;  // Empty: all.

  friend bool operator==(const RolloutPolicy&, const RolloutPolicy&) = default;
};

struct Policy {
  TriggerPolicy trigger;
  std::optional<CollectPolicy> collect;  // Unset: a cycle builds from what is there.
  BuildPolicy build;
  std::vector<GateRule> gate;
  OnInconclusive on_inconclusive = OnInconclusive::kApprove;
  RolloutPolicy rollout;

  friend bool operator==(const Policy&, const Policy&) = default;
};

// Reads the text of a policy. INVALID_ARGUMENT names line, key and what was expected.
using PolicyParser = std::function<absl::StatusOr<Policy>(const std::string& yaml)>;

// A policy as stored; a new version replaces the last, none is erased.
struct PolicyVersion {
  std::string project;  // "projects/x".
  int version = 0;      // Counts from 1.
  std::string yaml;
  absl::Time update_time;
};

// "superior", "not_worse", "at_least".
const char* GateTestName(GateTest test);
// Keys of metadata that the gate's slices need, without "source"; sorted.
std::vector<std::string> SliceKeys(const std::vector<GateRule>& gate);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_POLICY_H_
