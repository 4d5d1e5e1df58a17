// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_SQL_POOL_COUNTS_H_
#define FIELDLOOP_SERVICES_COMMON_SQL_POOL_COUNTS_H_

#include <atomic>
#include <cstdint>

namespace fieldloop {

// What the pools of connections of all Databases of this process do: numbers of now unless they
// say more.
struct DatabasePoolCounts {
  std::atomic<std::int64_t> connections = 0;
  std::atomic<std::int64_t> in_use = 0;
  std::atomic<std::int64_t> waiting = 0;       // Threads, for a connection.
  std::atomic<std::int64_t> transactions = 0;  // Since the start, also those without a connection.
  std::atomic<std::int64_t> wait_micros = 0;   // Since the start: for connections, all together.
  std::atomic<std::int64_t> timeouts = 0;      // Since the start: no connection in time.
};

DatabasePoolCounts& PoolCounts();

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_SQL_POOL_COUNTS_H_
