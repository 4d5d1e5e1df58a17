// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/worker_pool.h"

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

constexpr absl::Duration kIdleWait = absl::Seconds(1);
constexpr absl::Duration kWaitAfterError = absl::Seconds(5);

}  // namespace

WorkerPool::WorkerPool(BuildWorker& worker, RunningBuilds& running, ChangeSignal& changes,
                       BuildObserver& observer)
    : worker_(worker), running_(running), changes_(changes), observer_(observer) {}

WorkerPool::~WorkerPool() { Stop(); }

absl::Status WorkerPool::Start(int count) {
  FIELDLOOP_RETURN_IF_ERROR(worker_.RequeueHeld());
  threads_.emplace_back([this] { Beat(); });
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this] { Work(); });
  }
  return absl::OkStatus();
}

void WorkerPool::Stop() {
  stopping_ = true;
  running_.StopAll();
  changes_.Notify();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

void WorkerPool::Work() {
  while (!stopping_) {
    const std::uint64_t seen = changes_.Current();
    const absl::StatusOr<bool> worked = worker_.RunOne();
    if (!worked.ok()) {
      observer_.OnError(worked.status());
    }
    if (stopping_ || (worked.ok() && *worked)) {
      continue;
    }
    changes_.Wait(seen, worked.ok() ? kIdleWait : kWaitAfterError);
  }
}

void WorkerPool::Beat() {
  while (!stopping_) {
    const std::uint64_t seen = changes_.Current();
    if (const absl::Status status = worker_.Beat(); !status.ok()) {
      observer_.OnError(status);
    }
    if (!stopping_) {
      changes_.Wait(seen, kIdleWait);
    }
  }
}

}  // namespace fieldloop::build
