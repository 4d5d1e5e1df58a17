// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// In the order of fieldloop.build.v1.Build.State.
enum class BuildState : std::uint8_t {
  kQueued = 1,
  kPreparing,
  kTraining,
  kPackaging,
  kSucceeded,
  kFailed,
  kCancelled,
};

bool IsDone(BuildState state);
// Between queued and done.
bool IsRunning(BuildState state);
// "succeeded", for labels and logs.
absl::string_view StateText(BuildState state);

struct Metric {
  std::string name;
  double value = 0;
  friend bool operator==(const Metric&, const Metric&) = default;
};

// One pass over the training data, as the trainer said.
struct Epoch {
  std::int32_t epoch = 0;  // From 1.
  std::optional<double> loss;
  std::optional<double> accuracy;
  std::optional<double> validation_loss;
  std::optional<double> validation_accuracy;
  friend bool operator==(const Epoch&, const Epoch&) = default;
};

// A network that a search tried, as the trainer said.
struct Candidate {
  std::string network;
  std::int64_t size_bytes = 0;
  std::int64_t arena_bytes = 0;
  std::int64_t cortex_m4_instructions = 0;
  std::optional<double> validation_balanced_accuracy;
  bool fits = false;
  bool chosen = false;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// Appends a pass to a history. One that does not follow on the last begins another network, of
// which only the last is kept.
void RecordEpoch(std::vector<Epoch>& history, const Epoch& epoch);
// Appends a network; one that is there already is replaced.
void RecordCandidate(std::vector<Candidate>& candidates, const Candidate& candidate);

// One making of a model. A plain value; the rules about it are the functions below.
struct Build {
  std::string project;
  std::int64_t number = 0;  // Counts from 1 in the project.
  std::string dataset_version;
  std::string dataset_digest;
  std::string impulse;  // Name of the version.
  std::string impulse_digest;
  std::uint32_t seed = 1;
  std::int64_t parent_model = 0;  // 0: none.
  std::string parent_digest;
  std::string trainer_id;
  std::string request_id;
  std::string traceparent;  // Of the call that queued it; empty: none is known.

  BuildState state = BuildState::kQueued;
  double progress = 0;
  std::string activity;
  std::int32_t epoch = 0;
  std::int32_t epochs = 0;
  std::vector<Metric> metrics;
  std::vector<Epoch> history;
  std::vector<Candidate> candidates;
  std::string error;
  std::int64_t model = 0;  // 0: none.
  std::string trainer;     // Id and digest, for people; empty until it began.
  std::string trainer_digest;
  std::string log_digest;  // Blob of the log; empty until the build is done.
  absl::Time create_time{};
  absl::Time start_time{};  // Of the last attempt; the epoch before the first.
  absl::Time end_time{};    // The epoch until done.

  // Who works on it. A worker may change the build while the build is running, `owner` is its
  // process and `attempt` is the one that it began.
  std::string owner;
  std::int32_t attempt = 0;
  std::int32_t interruptions = 0;  // Attempts that ended with their process.
  std::int32_t waits = 0;          // Times it was put back because a service was away.
  absl::Time lease_until{};
  absl::Time not_before{};  // Waits until then.

  std::int64_t queue_position = 0;  // Builds before it; known to BuildQueue, not stored.

  friend bool operator==(const Build&, const Build&) = default;
};

// A build that took this many processes with it is not tried again.
inline constexpr std::int32_t kMaxInterruptions = 3;

// Begins an attempt of `owner`, or fails the build when too many were interrupted. `build` is
// queued, or runs under a lease that is over.
void ClaimBuild(Build& build, absl::string_view owner, absl::Time now, absl::Duration lease);

// True if attempt `attempt` of `owner` may still change `build`.
bool HoldsBuild(const Build& build, absl::string_view owner, std::int32_t attempt);

// Puts a running build back into the queue; its progress is forgotten.
void RequeueBuild(Build& build, absl::string_view activity, absl::Time not_before);

// FAILED_PRECONDITION, reason BUILD_DONE, leaves it untouched.
absl::Status CancelBuild(Build& build, absl::Time now);

void FailBuild(Build& build, absl::string_view error, absl::Time now);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_H_
