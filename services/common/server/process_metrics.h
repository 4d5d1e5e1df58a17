// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_PROCESS_METRICS_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_PROCESS_METRICS_H_

#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

namespace fieldloop {

// What every Prometheus client says of its process, read from /proc when it is asked for:
//   process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds,
//   process_start_time_seconds
// The start is when this object was made. What cannot be read is left out. Thread-safe.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  ProcessMetrics();
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  double start_;  // Unix seconds.
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_PROCESS_METRICS_H_
