// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_APP_BACKGROUND_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_APP_BACKGROUND_H_

#include <condition_variable>
#include <mutex>
#include <thread>

#include "services/common/clock/clock.h"
#include "services/common/sql/lease.h"
#include "services/distribution/domain/catalogs.h"
#include "services/distribution/domain/fleet_census.h"
#include "services/distribution/domain/fleet_service.h"
#include "services/distribution/domain/rollout_service.h"
#include "services/distribution/transport/device_metrics.h"

namespace fieldloop::distribution {

// What is to be done from time to time: rollouts' time-outs and soaking (by the holder of the
// lease), writing who was heard, counting the fleet by model, and looking for new root documents.
class Background {
 public:
  // Starts. All of them must outlive this object.
  Background(LeaseTable& leases, absl::Duration lease_time, RolloutService& rollouts,
             FleetService& fleet, FleetCensus& census, DeviceMetrics& metrics, const Clock& clock);
  // Stops, and writes what is left.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

 private:
  void Run();
  void Turn(int turn);

  LeaseTable& leases_;
  const absl::Duration lease_time_;
  RolloutService& rollouts_;
  FleetService& fleet_;
  FleetCensus& census_;
  DeviceMetrics& metrics_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_APP_BACKGROUND_H_
