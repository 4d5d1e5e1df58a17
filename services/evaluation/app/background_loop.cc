// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/app/background_loop.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/trace/span.h"

namespace fieldloop::evaluation {
namespace {

// The lease is renewed when this share of it has passed, so that one late step does not lose it.
constexpr double kRenewAfter = 0.3;
constexpr absl::Duration kAfterError = absl::Seconds(1);
// How long a stop may go unnoticed.
constexpr absl::Duration kStopCheck = absl::Milliseconds(200);

}  // namespace

BackgroundLoop::BackgroundLoop(std::string lease, absl::Duration interval, LeaseTable& leases,
                               absl::Duration lease_time, ChangeSignal& changed,
                               Telemetry& telemetry, std::function<absl::Status()> step)
    : lease_(std::move(lease)),
      interval_(interval),
      leases_(leases),
      lease_time_(lease_time),
      changed_(changed),
      telemetry_(telemetry),
      step_(std::move(step)) {}

BackgroundLoop::~BackgroundLoop() {
  Stop();
  if (thread_.joinable()) {
    thread_.join();
    if (!lease_.empty()) {
      leases_.Release(lease_).IgnoreError();  // It runs out by itself.
    }
  }
}

void BackgroundLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void BackgroundLoop::Stop() {
  stopping_ = true;
  changed_.Notify();
}

bool BackgroundLoop::StillOurs() {
  const auto now = std::chrono::steady_clock::now();
  if (stopping_) {
    return false;
  }
  if (lease_.empty()) {
    return true;
  }
  if (has_lease_ && absl::FromChrono(now - renewed_) < lease_time_ * kRenewAfter) {
    return true;
  }
  const absl::StatusOr<bool> ours = leases_.Acquire(lease_, lease_time_);
  if (!ours.ok()) {
    telemetry_.BackgroundError(absl::StrCat("lease ", lease_), ours.status());
  }
  has_lease_ = ours.ok() && *ours;
  renewed_ = now;
  return has_lease_;
}

void BackgroundLoop::Run() {
  while (!stopping_) {
    const std::uint64_t seen = changed_.Current();
    absl::Duration pause = interval_;
    const QuietScope turn;  // Lines of the log of one turn have an id in common.
    if (StillOurs()) {
      if (const absl::Status status = step_(); !status.ok()) {
        telemetry_.BackgroundError(lease_.empty() ? "every replica" : lease_, status);
        pause = kAfterError;
      }
    }
    // A change wakes the loop; an error makes it wait in any case.
    const absl::Duration least = pause == kAfterError ? kAfterError : absl::ZeroDuration();
    const auto start = std::chrono::steady_clock::now();
    while (!stopping_) {
      const absl::Duration waited = absl::FromChrono(std::chrono::steady_clock::now() - start);
      if (waited >= pause || (waited >= least && changed_.Current() != seen)) {
        break;
      }
      const absl::Duration rest = std::min(pause - waited, kStopCheck);
      changed_.Wait(waited >= least ? seen : changed_.Current(), rest);
    }
  }
}

}  // namespace fieldloop::evaluation
