// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_CENSUS_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_CENSUS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace fieldloop::distribution {

// Devices of a project that report the same model.
struct ModelCount {
  std::string project;  // "projects/x".
  // The name that a rollout gave the model; without one "sha256:" and 12 digits of its digest;
  // kNoModel of devices that report none; kOtherModels.
  std::string model;
  std::int64_t devices = 0;

  friend bool operator==(const ModelCount&, const ModelCount&) = default;
};

inline constexpr char kNoModel[] = "none";
inline constexpr char kOtherModels[] = "other";

// Counts the fleet. Thread-safe.
class FleetCensus {
 public:
  virtual ~FleetCensus() = default;
  // In no order. UNAVAILABLE.
  virtual absl::StatusOr<std::vector<ModelCount>> CountByModel() = 0;
};

// The `most` largest counts, largest first, and behind them for each project the sum of its others
// as kOtherModels. Devices without a model are always counted apart.
std::vector<ModelCount> LargestModels(std::vector<ModelCount> counts, std::size_t most);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_FLEET_CENSUS_H_
