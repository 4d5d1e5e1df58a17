// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_PARALLEL_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_PARALLEL_H_

#include <cstddef>
#include <functional>

#include "absl/status/status.h"

namespace fieldloop::build::trainer {

// Calls `task` with 0 to `count` - 1, each once, begun in this order, on `threads` threads at a
// time, and waits for all. Returns the error of the lowest index that has one; after an error no
// further task begins. What tasks share they must guard.
absl::Status RunInParallel(int threads, std::size_t count,
                           const std::function<absl::Status(std::size_t)>& task);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_PARALLEL_H_
