// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_FAIR_ORDER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_FAIR_ORDER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace fieldloop::build {

// A build that waits for its turn.
struct WaitingBuild {
  std::string project;
  std::int64_t number = 0;
  absl::Time create_time{};
  absl::Time not_before{};  // Waits until then at least.
  friend bool operator==(const WaitingBuild&, const WaitingBuild&) = default;
};

// What a project has had of the workers.
struct ProjectTurn {
  std::int64_t running = 0;
  absl::Time last_start = absl::UnixEpoch();  // When a build of it began last.
};

// Sorts builds into the order in which workers take them. Builds whose time has come are first, by
// turns: each next one is of the project that has the fewest running, then of the one whose last
// build began longest ago, then of the one whose oldest build waits longest; within a project the
// oldest is first. Then those that wait for their time, by it.
std::vector<WaitingBuild> FairOrder(std::vector<WaitingBuild> waiting,
                                    std::map<std::string, ProjectTurn> turns, absl::Time now);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_FAIR_ORDER_H_
