// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_PROGRESS_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_PROGRESS_H_

#include <ostream>
#include <string>

#include "absl/strings/string_view.h"
#include "services/build/trainer/dense_training.h"

namespace fieldloop::build::trainer {

// Says how training goes: one JSON object a line for the program that started it, and the same in
// words for people. Both streams outlive it; each line is flushed.
class Progress {
 public:
  Progress(std::ostream& events, std::ostream& log) : events_(events), log_(log) {}

  // What is done now.
  void Activity(absl::string_view text);
  // A pass over the training data, of `epochs` in all.
  void Epoch(const EpochResult& result, int epochs);
  // Why it did not work out.
  void Error(absl::string_view message);

 private:
  std::ostream& events_;
  std::ostream& log_;
};

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_PROGRESS_H_
