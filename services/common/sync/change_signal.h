// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SYNC_CHANGE_SIGNAL_H_
#define FIELDLOOP_SERVICES_COMMON_SYNC_CHANGE_SIGNAL_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace fieldloop {

// Wakes those in this process who wait for something to change. A hint: changes by another replica
// do not reach it, so every wait has a limit after which the waiter looks for itself. Thread-safe.
class ChangeSignal {
 public:
  // The number of the newest change; take it before looking, so that no change falls between.
  std::uint64_t Current() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return number_;
  }

  void Notify() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++number_;
    }
    changed_.notify_all();
  }

  // Returns the newest number once it differs from `seen`, at Stop, or after `limit`.
  std::uint64_t Wait(std::uint64_t seen, absl::Duration limit) const {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(limit),
                      [&] { return number_ != seen || stopped_; });
    return number_;
  }

  // Ends all waits, now and later.
  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
  }

  bool stopped() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return stopped_;
  }

 private:
  // Not Mutex: a condition variable needs the standard one.
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::uint64_t number_ = 0;
  bool stopped_ = false;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SYNC_CHANGE_SIGNAL_H_
