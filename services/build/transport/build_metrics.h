// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_BUILD_METRICS_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_BUILD_METRICS_H_

#include <cstdint>
#include <map>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "services/build/domain/build_observer.h"

namespace fieldloop::build {

// Shows builds to Prometheus and errors of background work in the log.
class BuildMetrics final : public BuildObserver {
 public:
  // `registry` must outlive this object.
  explicit BuildMetrics(prometheus::Registry& registry);

  void OnBuildDone(const Build& build, absl::Duration duration) override;
  void OnQueue(std::int64_t waiting, absl::Duration oldest_age, std::int64_t running) override;
  void OnError(const absl::Status& status) override;

 private:
  prometheus::Family<prometheus::Counter>& builds_;
  prometheus::Family<prometheus::Histogram>& durations_;
  std::map<BuildState, prometheus::Counter*> counts_;
  prometheus::Histogram& duration_;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& oldest_age_;
  prometheus::Gauge& running_;
  prometheus::Counter& errors_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_BUILD_METRICS_H_
