// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_CHANGE_SIGNAL_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_CHANGE_SIGNAL_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace fieldloop::distribution {

// Wakes watchers in this process when something they may show has changed. Thread-safe.
class ChangeSignal {
 public:
  std::uint64_t version() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return version_;
  }
  void Notify() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++version_;
    }
    changed_.notify_all();
  }
  // Returns once version() is above `seen`, or after `timeout`: another replica may make changes
  // that nobody here signals.
  void WaitPast(std::uint64_t seen, absl::Duration timeout) const {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return version_ > seen; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::uint64_t version_ = 0;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_CHANGE_SIGNAL_H_
