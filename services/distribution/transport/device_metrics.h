// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_METRICS_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_METRICS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "absl/time/time.h"
#include "services/distribution/domain/fleet_census.h"
#include "services/distribution/domain/rollout.h"

namespace fieldloop::distribution {

// What the device listener counts. No label names a device. Thread-safe, but for SetFleet, which is
// for one thread.
class DeviceMetrics {
 public:
  // `registry` must outlive this object.
  explicit DeviceMetrics(prometheus::Registry& registry);

  // One uplink of a kind such as "sketch", with its result: "acked", "rejected" or "unavailable".
  void CountUplink(const std::string& kind, const std::string& result);
  // One handshake: "ok", "resumed", "expired" (with a certificate that only renews), "failed" or
  // "overloaded".
  void CountHandshake(const std::string& result);
  // One enrolment or renewal: "ok", "refused" or "unavailable".
  void CountCertificate(const std::string& kind, const std::string& result);
  // Devices by model, all of them: series of models that are not there any more end.
  void SetFleet(const std::vector<ModelCount>& counts);
  void SetRollouts(RolloutState state, double count);
  // Sums over `active`, the rollouts that run or are paused.
  void SetActiveRollouts(const std::vector<Rollout>& active, absl::Time now);

  prometheus::Gauge& connections;
  prometheus::Counter& check_ins;
  prometheus::Counter& offers;
  prometheus::Counter& sent_bytes;
  prometheus::Counter& received_bytes;
  prometheus::Counter& artifact_bytes;

 private:
  prometheus::Family<prometheus::Counter>& uplinks_;
  prometheus::Family<prometheus::Counter>& handshakes_;
  prometheus::Family<prometheus::Counter>& certificates_;
  prometheus::Family<prometheus::Gauge>& fleet_;
  // Of one thread, as SetFleet is.
  std::map<std::pair<std::string, std::string>, prometheus::Gauge*> fleet_gauges_;
  prometheus::Family<prometheus::Gauge>& rollouts_;
  prometheus::Family<prometheus::Gauge>& rollout_devices_;
  prometheus::Gauge& oldest_stage_;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_DEVICE_METRICS_H_
