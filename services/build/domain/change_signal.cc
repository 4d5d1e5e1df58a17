// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/change_signal.h"

namespace fieldloop::build {

std::uint64_t ChangeSignal::Now() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

void ChangeSignal::Notify() {
  {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  changed_.notify_all();
}

void ChangeSignal::WaitForChange(std::uint64_t seen, absl::Duration timeout) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return count_ != seen; });
}

}  // namespace fieldloop::build
