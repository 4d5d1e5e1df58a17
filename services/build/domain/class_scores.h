// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_CLASS_SCORES_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_CLASS_SCORES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "services/build/domain/build.h"

namespace fieldloop::build {

// Counts how a classifier does on labelled windows.
class ClassScores {
 public:
  // `classes` in the order of the indices that Add takes.
  explicit ClassScores(std::vector<std::string> classes);

  // Counts a window of class `label` that was taken for `predicted`; -1: for none, which is wrong.
  void Add(std::size_t label, int predicted);

  // "accuracy"; "balanced_accuracy", the mean recall of the classes that have windows; then, for
  // each class, "recall/C", "precision/C", "f1/C" as far as they are defined, and "windows/C".
  // Empty without a window.
  std::vector<Metric> Metrics() const;

 private:
  const std::vector<std::string> classes_;
  std::vector<std::int64_t> windows_;    // Of each class.
  std::vector<std::int64_t> predicted_;  // Taken for each class.
  std::vector<std::int64_t> right_;      // Of each class.
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_CLASS_SCORES_H_
