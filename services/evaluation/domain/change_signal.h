// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CHANGE_SIGNAL_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CHANGE_SIGNAL_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace fieldloop::evaluation {

// Wakes whoever waits for something in the stores to change. A hint: changes by other processes do
// not raise it, so every wait has a limit. Thread-safe.
class ChangeSignal {
 public:
  void Raise() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  std::uint64_t count() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return count_;
  }
  // Returns the count once it differs from `seen`, or after `limit`.
  std::uint64_t Wait(std::uint64_t seen, absl::Duration limit) const {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(limit), [&] { return count_ != seen; });
    return count_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::uint64_t count_ = 0;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CHANGE_SIGNAL_H_
