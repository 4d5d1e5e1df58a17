// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/app/background.h"

#include <chrono>
#include <cstddef>
#include <utility>

#include "services/common/log/log.h"
#include "services/common/trace/span.h"

namespace fieldloop::distribution {
namespace {

constexpr std::chrono::seconds kTurn{1};
constexpr int kPresenceTurns = 2;
constexpr int kCensusTurns = 15;
constexpr std::size_t kModelsCounted = 20;  // By name; each is a series.
constexpr char kLease[] = "rollouts";

void Warn(const char* what, const absl::Status& status) {
  if (!status.ok()) {
    spdlog::warn("{}: {}", what, status.ToString());
  }
}

}  // namespace

Background::Background(LeaseTable& leases, absl::Duration lease_time, RolloutService& rollouts,
                       FleetService& fleet, FleetCensus& census, DeviceMetrics& metrics,
                       const Clock& clock)
    : leases_(leases),
      lease_time_(lease_time),
      rollouts_(rollouts),
      fleet_(fleet),
      census_(census),
      metrics_(metrics),
      clock_(clock),
      thread_([this] { Run(); }) {}

Background::~Background() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
  Warn("writing who was heard", fleet_.FlushPresence());
  Warn("giving back the lease", leases_.Release(kLease));
}

void Background::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (int turn = 0; !stop_; ++turn) {
    lock.unlock();
    Turn(turn);
    lock.lock();
    stopped_.wait_for(lock, kTurn, [&] { return stop_; });
  }
}

void Background::Turn(int turn) {
  const QuietScope quiet;  // Lines of the log of one turn have an id in common.
  Warn("looking for root documents", rollouts_.LearnRoots());
  if (turn % kPresenceTurns == 0) {
    Warn("writing who was heard", fleet_.FlushPresence());
  }
  if (turn % kCensusTurns == 0) {
    auto counts = census_.CountByModel();
    Warn("counting the fleet by model", counts.status());
    if (counts.ok()) {
      metrics_.SetFleet(LargestModels(*std::move(counts), kModelsCounted));
    }
  }
  const absl::StatusOr<bool> ours = leases_.Acquire(kLease, lease_time_);
  Warn("taking the lease of rollouts", ours.status());
  if (ours.value_or(false)) {
    Warn("rollouts", rollouts_.Tick());
  }
  const auto counts = rollouts_.CountByState();
  if (counts.ok()) {
    for (const RolloutState state :
         {RolloutState::kRunning, RolloutState::kPaused, RolloutState::kCompleted,
          RolloutState::kFailed, RolloutState::kCancelled}) {
      const auto count = counts->find(state);
      metrics_.SetRollouts(state, count == counts->end() ? 0 : static_cast<double>(count->second));
    }
  }
  if (const auto active = rollouts_.ListActive(); active.ok()) {
    metrics_.SetActiveRollouts(*active, clock_.Now());
  }
}

}  // namespace fieldloop::distribution
