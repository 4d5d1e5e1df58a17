// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_NETWORK_H_
#define FIELDLOOP_TESTS_FAULTS_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/faults/device.h"

namespace fieldloop::faults {

struct NetworkCounts {
  std::string name;
  uint64_t tried = 0;
  uint64_t wrong = 0;
};

// Tries what a network or a server can do, in every scenario: `stride` 1 cuts at every byte. Then
// the network and the server are well, and the device must reach its goal.
std::vector<NetworkCounts> TryNetwork(const Geometry& geometry, uint64_t stride,
                                      std::vector<std::string>* findings);

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_NETWORK_H_
