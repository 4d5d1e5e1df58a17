// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/suggestions.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace fieldloop::evaluation {

Suggestion SumUp(const std::vector<WindowOpinion>& windows,
                 const std::vector<std::string>& classes) {
  std::vector<std::pair<int, double>> votes(classes.size());  // Windows won, and probability.
  Suggestion suggestion;
  for (const WindowOpinion& window : windows) {
    const auto most = std::max_element(window.probabilities.begin(), window.probabilities.end());
    ++votes[static_cast<std::size_t>(most - window.probabilities.begin())].first;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      votes[i].second += window.probabilities[i];
    }
    suggestion.novelty += window.novelty;
  }
  const auto winner = std::max_element(votes.begin(), votes.end());
  const auto count = static_cast<double>(windows.size());
  suggestion.label = classes[static_cast<std::size_t>(winner - votes.begin())];
  suggestion.confidence = std::clamp(winner->second / count, 0.0, 1.0);
  suggestion.novelty /= count;
  return suggestion;
}

}  // namespace fieldloop::evaluation
