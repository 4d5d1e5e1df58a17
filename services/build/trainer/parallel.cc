// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/parallel.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace fieldloop::build::trainer {

absl::Status RunInParallel(int threads, std::size_t count,
                           const std::function<absl::Status(std::size_t)>& task) {
  std::vector<absl::Status> results(count);
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  {
    std::vector<std::jthread> workers;
    const std::size_t width = std::min(count, static_cast<std::size_t>(std::max(threads, 1)));
    for (std::size_t i = 0; i < width; ++i) {
      workers.emplace_back([&] {
        for (std::size_t index = next++; index < count && !failed; index = next++) {
          results[index] = task(index);
          failed = failed || !results[index].ok();
        }
      });
    }
  }
  for (const absl::Status& result : results) {
    if (!result.ok()) {
      return result;
    }
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::build::trainer
