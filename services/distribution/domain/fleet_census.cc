// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/fleet_census.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace fieldloop::distribution {

std::vector<ModelCount> LargestModels(std::vector<ModelCount> counts, std::size_t most) {
  std::sort(counts.begin(), counts.end(), [](const ModelCount& a, const ModelCount& b) {
    return std::tie(b.devices, a.project, a.model) < std::tie(a.devices, b.project, b.model);
  });
  std::vector<ModelCount> largest;
  std::map<std::string, std::int64_t> others;
  std::size_t named = 0;
  for (ModelCount& count : counts) {
    if (count.model == kNoModel || named++ < most) {
      largest.push_back(std::move(count));
    } else {
      others[count.project] += count.devices;
    }
  }
  for (const auto& [project, devices] : others) {
    largest.push_back({.project = project, .model = kOtherModels, .devices = devices});
  }
  return largest;
}

}  // namespace fieldloop::distribution
