// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_PROGRESS_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_PROGRESS_H_

#include <ostream>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/strings/string_view.h"
#include "services/build/trainer/search.h"
#include "services/build/trainer/training.h"
#include "services/common/sync/mutex.h"

namespace fieldloop::build::trainer {

// Says how training goes: one JSON object a line for the program that started it, and the same in
// words for people. Both streams outlive it; each line is flushed. Safe to be called by several
// threads.
class Progress {
 public:
  Progress(std::ostream& events, std::ostream& log) : events_(events), log_(log) {}

  // What is done now.
  void Activity(absl::string_view text);
  // A pass over the training data, of `epochs` in all.
  void Epoch(const EpochResult& result, int epochs);
  // A network that a search tried.
  void Candidate(const trainer::Candidate& candidate);
  // Why it did not work out.
  void Error(absl::string_view message);

 private:
  void Write(const std::string& event, const std::string& words);

  Mutex mutex_;
  std::ostream& events_;
  std::ostream& log_;
};

// A candidate as events and candidates.json have it.
nlohmann::ordered_json ToJson(const Candidate& candidate);

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_PROGRESS_H_
