// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_APP_BACKGROUND_LOOP_H_
#define FIELDLOOP_SERVICES_EVALUATION_APP_BACKGROUND_LOOP_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/sql/lease.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/domain/telemetry.h"

namespace fieldloop::evaluation {

// A thread that does `step` while it holds a lease: soon after a change, and every `interval` at
// the latest; after an error not before a second has passed.
class BackgroundLoop {
 public:
  // All must outlive this object. Without a name for `lease` every replica does the step. `step`
  // must return soon, or call StillOurs meanwhile. `lease_time` is how long the step of a process
  // that died keeps others waiting.
  BackgroundLoop(std::string lease, absl::Duration interval, LeaseTable& leases,
                 absl::Duration lease_time, ChangeSignal& changed, Telemetry& telemetry,
                 std::function<absl::Status()> step);
  // Stops, and gives the lease back.
  ~BackgroundLoop();
  BackgroundLoop(const BackgroundLoop&) = delete;
  BackgroundLoop& operator=(const BackgroundLoop&) = delete;

  void Start();
  // Ends the loop after the step that runs.
  void Stop();

  // Renews the lease from within a step. False when it is somebody else's, or when stopping.
  bool StillOurs();

 private:
  void Run();

  const std::string lease_;
  const absl::Duration interval_;
  LeaseTable& leases_;
  const absl::Duration lease_time_;
  ChangeSignal& changed_;
  Telemetry& telemetry_;
  const std::function<absl::Status()> step_;
  std::atomic<bool> stopping_ = false;
  bool has_lease_ = false;
  std::chrono::steady_clock::time_point renewed_;
  std::thread thread_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_APP_BACKGROUND_LOOP_H_
