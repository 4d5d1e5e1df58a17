// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/server/pool_metrics.h"

#include "services/common/server/metric_family.h"
#include "services/common/sql/pool_counts.h"

namespace fieldloop {

std::vector<prometheus::MetricFamily> PoolMetrics::Collect() const {
  using prometheus::MetricType;
  const DatabasePoolCounts& counts = PoolCounts();
  const auto gauge = [](const char* name, const char* help, double value) {
    return MakeFamily(name, help, MetricType::Gauge, value);
  };
  const auto counter = [](const char* name, const char* help, double value) {
    return MakeFamily(name, help, MetricType::Counter, value);
  };
  constexpr double kMicros = 1e6;
  return {
      gauge("fieldloop_database_connections", "Connections of the pool of database connections.",
            static_cast<double>(counts.connections)),
      gauge("fieldloop_database_connections_in_use", "Connections in a transaction.",
            static_cast<double>(counts.in_use)),
      gauge("fieldloop_database_waiting", "Threads that wait for a connection of the pool.",
            static_cast<double>(counts.waiting)),
      counter("fieldloop_database_transactions_total",
              "Transactions, also those that got no connection.",
              static_cast<double>(counts.transactions)),
      counter("fieldloop_database_wait_seconds_total",
              "Time spent waiting for connections of the pool, in seconds.",
              static_cast<double>(counts.wait_micros) / kMicros),
      counter("fieldloop_database_wait_timeouts_total",
              "Transactions that got no connection of the pool in time.",
              static_cast<double>(counts.timeouts)),
  };
}

}  // namespace fieldloop
