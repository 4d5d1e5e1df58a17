// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_EVENTS_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_EVENTS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "services/build/domain/trainer.h"

namespace fieldloop::build {

// Text that a program printed, fit for a field that people read: one line of UTF-8, at most 500
// bytes.
std::string OneLine(absl::string_view text);

// Reads a trainer's standard output line by line: events (docs/models.md) go to the listener, the
// rest to the log. Not thread-safe.
class TrainerEvents {
 public:
  // `listener` must outlive this object.
  explicit TrainerEvents(TrainerListener& listener) : listener_(listener) {}

  void Take(absl::string_view text);
  // Ends a last line that has no line break.
  void Finish();

  // What the last error event said; empty if there was none.
  const std::string& error() const { return error_; }

 private:
  void Flush();
  bool TakeEvent();

  TrainerListener& listener_;
  std::string line_;
  std::string error_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_EVENTS_H_
