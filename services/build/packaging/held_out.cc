// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/held_out.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace fieldloop::build {

std::vector<int> AssignFolds(const std::vector<std::int32_t>& groups, int max_folds) {
  std::map<std::int32_t, std::size_t> sizes;
  for (const std::int32_t group : groups) {
    ++sizes[group];
  }
  std::vector<std::pair<std::int32_t, std::size_t>> order(sizes.begin(), sizes.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::size_t> fold_sizes(std::min(static_cast<std::size_t>(max_folds), order.size()));
  std::map<std::int32_t, int> fold_of_group;
  for (const auto& [group, size] : order) {
    const auto smallest = std::min_element(fold_sizes.begin(), fold_sizes.end());
    fold_of_group[group] = static_cast<int>(smallest - fold_sizes.begin());
    *smallest += size;
  }
  std::vector<int> folds;
  folds.reserve(groups.size());
  for (const std::int32_t group : groups) {
    folds.push_back(fold_of_group[group]);
  }
  return folds;
}

}  // namespace fieldloop::build
