// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_HELD_OUT_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_HELD_OUT_H_

#include <cstdint>
#include <vector>

namespace fieldloop::build {

// What a model said of a window that it was not trained on.
struct HeldOutPrediction {
  int label = 0;
  int predicted = 0;
  float confidence = 0;
  float novelty = 0;
  float anomaly = 0;  // 0 without an anomaly block.
};

// Deals groups out to at most `max_folds` folds of about the same number of windows: the largest
// group first, each to the smallest fold. Returns the fold of each window; every fold has a window.
std::vector<int> AssignFolds(const std::vector<std::int32_t>& groups, int max_folds);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_HELD_OUT_H_
