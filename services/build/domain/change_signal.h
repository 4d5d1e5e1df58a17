// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_CHANGE_SIGNAL_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_CHANGE_SIGNAL_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace fieldloop::build {

// Wakes those who wait for a change of a build in this process. Another process's changes are seen
// when the wait times out. Thread-safe.
class ChangeSignal {
 public:
  // A number that every Notify changes.
  std::uint64_t Now() const;
  void Notify();
  // Returns when Now() differs from `seen`, or after `timeout`.
  void WaitForChange(std::uint64_t seen, absl::Duration timeout) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::uint64_t count_ = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_CHANGE_SIGNAL_H_
