// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SERVER_POOL_METRICS_H_
#define FIELDLOOP_SERVICES_COMMON_SERVER_POOL_METRICS_H_

#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

namespace fieldloop {

// What the pools of database connections of this process do:
//   fieldloop_database_connections, fieldloop_database_connections_in_use,
//   fieldloop_database_waiting, fieldloop_database_transactions_total,
//   fieldloop_database_wait_seconds_total, fieldloop_database_wait_timeouts_total
// Thread-safe.
class PoolMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SERVER_POOL_METRICS_H_
