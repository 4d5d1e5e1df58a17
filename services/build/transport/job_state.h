// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_STATE_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_STATE_H_

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/trainer_runner.h"
#include "services/build/transport/job_config.h"

namespace fieldloop::build {

// What of a Job's status counts here (batch/v1).
struct JobState {
  bool complete = false;
  bool failed = false;
  std::string reason;   // Of its failure, such as DeadlineExceeded.
  std::string message;  // In words.

  bool over() const { return complete || failed; }
};
JobState StateOfJob(const nlohmann::json& job);

// What of a pod's status counts here (core/v1).
struct PodState {
  std::string name;          // Empty: there is no pod.
  bool has_started = false;  // Its container ran or runs.
  bool has_ended = false;    // It ran.
  int exit_code = 0;
  bool out_of_memory = false;
  bool is_disrupted = false;  // Evicted, preempted, on a node that is lost or shut down.
  std::string message;        // Why it waits, was disrupted or failed; may be empty.
};
// `pods` is a list of the API; of several pods of a Job the newest counts.
PodState StateOfPod(const nlohmann::json& pods);

// Why a Job failed whose run told nothing: DEADLINE_EXCEEDED, ABORTED or UNAVAILABLE, with a
// sentence for people.
absl::Status FailureOf(const JobConfig& config, const TrainerLimits& limits, const JobState& job,
                       const PodState& pod);

// The lines of a log whose lines begin with a time, as ?timestamps=true makes it, without these. A
// log that is read again from the second of its last line gives each line once. Not thread-safe.
class StampedLines {
 public:
  // Takes a piece of any size and returns the lines that it completes, with their line breaks.
  std::string Take(absl::string_view piece);
  // The log begins again, from the second of last() on.
  void Reopen();
  // Time of the last line, RFC 3339; empty before the first.
  const std::string& last() const { return last_; }

 private:
  std::string line_;
  std::string last_;
  std::int64_t at_last_ = 0;  // Lines taken with the time last_.
  std::int64_t again_ = 0;    // Lines with that time to leave out.
  bool reopened_ = false;
  std::string resume_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_STATE_H_
