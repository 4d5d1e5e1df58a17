// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_SCORES_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_SCORES_H_

#include <cstddef>
#include <vector>

namespace fieldloop::build::trainer {

// Counts right and wrong answers.
class Scores {
 public:
  explicit Scores(std::size_t classes) : right_(classes, 0), count_(classes, 0) {}

  void Add(int label, int predicted);

  std::size_t count() const;
  // Share of right answers; 0 without any answer.
  double accuracy() const;
  // Mean recall of the classes that occur; 0 without any.
  double balanced_accuracy() const;
  bool occurs(std::size_t label) const { return count_[label] > 0; }
  // Share of right answers among those with this label, which occurs.
  double recall(std::size_t label) const;

 private:
  std::vector<std::size_t> right_;
  std::vector<std::size_t> count_;
};

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_SCORES_H_
