// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/fair_order.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <tuple>
#include <utility>

namespace fieldloop::build {

std::vector<WaitingBuild> FairOrder(std::vector<WaitingBuild> waiting,
                                    std::map<std::string, ProjectTurn> turns, absl::Time now) {
  std::sort(waiting.begin(), waiting.end(), [](const WaitingBuild& a, const WaitingBuild& b) {
    return std::tie(a.create_time, a.project, a.number) <
           std::tie(b.create_time, b.project, b.number);
  });
  std::map<std::string, std::deque<WaitingBuild>> due;
  std::vector<WaitingBuild> later;
  for (WaitingBuild& build : waiting) {
    if (build.not_before <= now) {
      due[build.project].push_back(std::move(build));
    } else {
      later.push_back(std::move(build));
    }
  }
  std::vector<WaitingBuild> order;
  absl::Time turn = now;  // A build that is taken in thought begins after all that are real.
  while (!due.empty()) {
    const auto next = std::min_element(due.begin(), due.end(), [&](const auto& a, const auto& b) {
      const ProjectTurn& of_a = turns[a.first];
      const ProjectTurn& of_b = turns[b.first];
      return std::tie(of_a.running, of_a.last_start, a.second.front().create_time, a.first) <
             std::tie(of_b.running, of_b.last_start, b.second.front().create_time, b.first);
    });
    ProjectTurn& taken = turns[next->first];
    ++taken.running;
    turn += absl::Microseconds(1);
    taken.last_start = turn;
    order.push_back(std::move(next->second.front()));
    next->second.pop_front();
    if (next->second.empty()) {
      due.erase(next);
    }
  }
  std::stable_sort(later.begin(), later.end(), [](const WaitingBuild& a, const WaitingBuild& b) {
    return a.not_before < b.not_before;
  });
  std::move(later.begin(), later.end(), std::back_inserter(order));
  return order;
}

}  // namespace fieldloop::build
