// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_WORKER_POOL_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_WORKER_POOL_H_

#include <atomic>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "services/build/domain/build_observer.h"
#include "services/build/domain/build_worker.h"
#include "services/build/domain/running_builds.h"
#include "services/common/sync/change_signal.h"

namespace fieldloop::build {

// Threads that keep a BuildWorker working. Start and Stop are for one thread.
class WorkerPool {
 public:
  // All must outlive this object.
  WorkerPool(BuildWorker& worker, RunningBuilds& running, ChangeSignal& changes,
             BuildObserver& observer);
  // Stops.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Puts back what a previous process left, then starts `count` threads and one that beats.
  absl::Status Start(int count);
  // Stops running builds, which go back into the queue, and waits for the threads.
  void Stop();

 private:
  void Work();
  void Beat();

  BuildWorker& worker_;
  RunningBuilds& running_;
  ChangeSignal& changes_;
  BuildObserver& observer_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_WORKER_POOL_H_
