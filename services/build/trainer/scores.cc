// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/scores.h"

#include <cstddef>
#include <numeric>

namespace fieldloop::build::trainer {

void Scores::Add(int label, int predicted) {
  ++count_[static_cast<std::size_t>(label)];
  right_[static_cast<std::size_t>(label)] += label == predicted ? 1U : 0U;
}

std::size_t Scores::count() const {
  return std::accumulate(count_.begin(), count_.end(), std::size_t{0});
}

double Scores::accuracy() const {
  const std::size_t right = std::accumulate(right_.begin(), right_.end(), std::size_t{0});
  return count() == 0 ? 0 : static_cast<double>(right) / static_cast<double>(count());
}

double Scores::balanced_accuracy() const {
  double sum = 0;
  double classes = 0;
  for (std::size_t label = 0; label < count_.size(); ++label) {
    if (occurs(label)) {
      sum += recall(label);
      classes += 1;
    }
  }
  return classes == 0 ? 0 : sum / classes;
}

double Scores::recall(std::size_t label) const {
  return static_cast<double>(right_[label]) / static_cast<double>(count_[label]);
}

}  // namespace fieldloop::build::trainer
