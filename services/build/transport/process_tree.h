// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TREE_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TREE_H_

#include <cstdint>

#include <sys/types.h>

namespace fieldloop::build {

// What processes use together.
struct TreeUse {
  std::int64_t processes = 0;
  std::int64_t memory_bytes = 0;  // Resident and not of a file.
};

// Counts all processes below `root`, without it. Those that start or end meanwhile may be missed.
TreeUse UseBelow(pid_t root);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_TREE_H_
