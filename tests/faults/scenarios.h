// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_SCENARIOS_H_
#define FIELDLOOP_TESTS_FAULTS_SCENARIOS_H_

#include <vector>

#include "tests/faults/device.h"

namespace fieldloop::faults {

// All stories, with models and recordings of a size that makes them interesting on this flash.
std::vector<Scenario> Scenarios(const Geometry& geometry);

// The world in which the scenario begins. Empty text in *wrong, or why it could not be made. The
// scenario must outlive the world.
World StartOf(const Scenario& scenario, const Geometry& geometry, std::string* wrong);

// Units of 1 to 32 bytes, sectors of 2 KB to 128 KB, erased 0xFF and 0x00; and write-back caches.
std::vector<Geometry> Geometries();

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_SCENARIOS_H_
