// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/app/housekeeping.h"

#include <algorithm>
#include <chrono>

#include "services/common/log/log.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::chrono::minutes kTurn{1};
constexpr char kLease[] = "housekeeping";
constexpr double kRenewAfter = 0.25;  // Of the lease's time.
constexpr absl::Duration kApplyEvery = absl::Hours(1);
constexpr absl::Duration kSearchEvery = absl::Hours(24);

// What was stopped goes on at the next turn, or elsewhere.
void Warn(const char* what, const absl::Status& status) {
  if (!status.ok() && !absl::IsCancelled(status)) {
    spdlog::warn("{}: {}", what, status.ToString());
  }
}

}  // namespace

Housekeeping::Housekeeping(LeaseTable& leases, absl::Duration lease_time,
                           RetentionService& retention, LabellingStore& labelling,
                           UploadMetrics& metrics, const Clock& clock)
    : leases_(leases),
      lease_time_(lease_time),
      retention_(retention),
      labelling_(labelling),
      metrics_(metrics),
      clock_(clock),
      thread_([this] { Run(); }) {}

Housekeeping::~Housekeeping() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
  Warn("giving back the lease", leases_.Release(kLease));
}

bool Housekeeping::GoOn() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stop_) {
      return false;
    }
  }
  const absl::Time now = clock_.Now();
  if (now - renewed_ < lease_time_ * kRenewAfter) {
    return true;
  }
  const absl::StatusOr<bool> ours = leases_.Acquire(kLease, lease_time_);
  Warn("taking the lease", ours.status());
  renewed_ = ours.value_or(false) ? now : absl::InfinitePast();
  return ours.value_or(false);
}

void Housekeeping::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    lock.unlock();
    CountBacklog();
    if (GoOn()) {
      Turn();
    }
    lock.lock();
    stopped_.wait_for(lock, kTurn, [this] { return stop_; });
  }
}

void Housekeeping::CountBacklog() {
  const absl::StatusOr<Backlog> backlog = labelling_.CountBacklog();
  Warn("counting what waits for a label", backlog.status());
  if (backlog.ok()) {
    metrics_.SetBacklog(backlog->waiting,
                        std::max(absl::ZeroDuration(), clock_.Now() - backlog->oldest));
  }
}

void Housekeeping::Turn() {
  const auto go_on = [this] { return GoOn(); };
  if (clock_.Now() - applied_ >= kApplyEvery) {
    const absl::Status applied = retention_.ApplyAll(go_on);
    Warn("retention", applied);
    applied_ = applied.ok() ? clock_.Now() : applied_;
  }
  if (clock_.Now() - searched_ >= kSearchEvery) {
    const absl::Status searched = retention_.FindUnusedBlobs(go_on);
    Warn("looking for unused blobs", searched);
    searched_ = searched.ok() ? clock_.Now() : searched_;
  }
  const absl::StatusOr<int> collected = retention_.CollectBlobs(go_on);
  Warn("deleting unused blobs", collected.status());
  if (collected.value_or(0) > 0) {
    spdlog::info("deleted {} blobs that no sample needs", *collected);
  }
}

}  // namespace fieldloop::ingestion
