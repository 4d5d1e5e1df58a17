// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/change_signal.h"

namespace fieldloop::provisioning {

std::int64_t ChangeSignal::Current() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return number_;
}

void ChangeSignal::Notify() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++number_;
  }
  changed_.notify_all();
}

void ChangeSignal::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

bool ChangeSignal::stopped() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stopped_;
}

void ChangeSignal::Wait(std::int64_t seen, absl::Duration timeout) const {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                    [&] { return stopped_ || number_ != seen; });
}

}  // namespace fieldloop::provisioning
