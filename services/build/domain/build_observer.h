// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_OBSERVER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_OBSERVER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/build/domain/build.h"

namespace fieldloop::build {

// Hears what the operator of the service wants to see. Thread-safe; must not call back.
class BuildObserver {
 public:
  virtual ~BuildObserver() = default;
  // `build` is done; `duration` is that of its last attempt, zero if it never began.
  virtual void OnBuildDone(const Build& build, absl::Duration duration) = 0;
  // Builds that wait, how long the oldest has waited, and builds that run in this process.
  virtual void OnQueue(std::int64_t waiting, absl::Duration oldest_age, std::int64_t running) = 0;
  // Background work failed in a way that no build can tell.
  virtual void OnError(const absl::Status& status) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_OBSERVER_H_
