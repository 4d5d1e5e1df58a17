// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_CHANGE_SIGNAL_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_CHANGE_SIGNAL_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/time/time.h"

namespace fieldloop::provisioning {

// Wakes the watchers of this process when something changed. Changes of another replica do not
// reach it, so a watcher looks for itself now and then. Thread-safe.
class ChangeSignal {
 public:
  // The number of the newest change; take it before looking, so that no change falls between.
  std::int64_t Current() const;
  void Notify();
  // Ends all waits, now and later.
  void Stop();
  bool stopped() const;
  // Returns when a change after `seen` was notified, at Stop, or after `timeout`.
  void Wait(std::int64_t seen, absl::Duration timeout) const;

 private:
  // Not common/sync's Mutex: a condition variable needs the standard one.
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::int64_t number_ = 0;
  bool stopped_ = false;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_CHANGE_SIGNAL_H_
