// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/build.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "services/build/domain/names.h"
#include "services/build/domain/reasons.h"
#include "services/common/status/error_reason.h"

namespace fieldloop::build {
namespace {

// More than a recipe can ask for.
constexpr std::size_t kMaxHistory = 1000;
constexpr std::size_t kMaxCandidates = 100;

void Release(Build& build) {
  build.owner.clear();
  build.lease_until = absl::UnixEpoch();
  build.not_before = absl::UnixEpoch();
}

void ForgetProgress(Build& build) {
  build.progress = 0;
  build.epoch = 0;
  build.epochs = 0;
  build.metrics.clear();
  build.history.clear();
  build.candidates.clear();
}

}  // namespace

bool IsDone(BuildState state) {
  return state == BuildState::kSucceeded || state == BuildState::kFailed ||
         state == BuildState::kCancelled;
}

bool IsRunning(BuildState state) {
  return state == BuildState::kPreparing || state == BuildState::kTraining ||
         state == BuildState::kPackaging;
}

absl::string_view StateText(BuildState state) {
  switch (state) {
    case BuildState::kQueued:
      return "queued";
    case BuildState::kPreparing:
      return "preparing";
    case BuildState::kTraining:
      return "training";
    case BuildState::kPackaging:
      return "packaging";
    case BuildState::kSucceeded:
      return "succeeded";
    case BuildState::kFailed:
      return "failed";
    case BuildState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

void RecordEpoch(std::vector<Epoch>& history, const Epoch& epoch) {
  if (!history.empty() && epoch.epoch <= history.back().epoch) {
    history.clear();
  }
  if (history.size() < kMaxHistory) {
    history.push_back(epoch);
  }
}

void RecordCandidate(std::vector<Candidate>& candidates, const Candidate& candidate) {
  const auto known = std::find_if(
      candidates.begin(), candidates.end(),
      [&candidate](const Candidate& other) { return other.network == candidate.network; });
  if (known != candidates.end()) {
    *known = candidate;
  } else if (candidates.size() < kMaxCandidates) {
    candidates.push_back(candidate);
  }
}

void ClaimBuild(Build& build, absl::string_view owner, absl::Time now, absl::Duration lease) {
  if (IsRunning(build.state)) {
    ++build.interruptions;
  }
  if (build.interruptions >= kMaxInterruptions) {
    FailBuild(build,
              absl::StrCat("the service ended ", build.interruptions,
                           " times while it worked on this build"),
              now);
    return;
  }
  ForgetProgress(build);
  build.state = BuildState::kPreparing;
  build.activity = "starts";
  build.owner = std::string(owner);
  ++build.attempt;
  build.lease_until = now + lease;
  build.start_time = now;
}

bool HoldsBuild(const Build& build, absl::string_view owner, std::int32_t attempt) {
  return IsRunning(build.state) && build.owner == owner && build.attempt == attempt;
}

void RequeueBuild(Build& build, absl::string_view activity, absl::Time not_before) {
  ForgetProgress(build);
  Release(build);
  build.state = BuildState::kQueued;
  build.activity = std::string(activity);
  build.not_before = not_before;
}

absl::Status CancelBuild(Build& build, absl::Time now) {
  if (IsDone(build.state)) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, kBuildDone,
        absl::StrCat(BuildName(build.project, build.number), " is done: ", StateText(build.state)));
  }
  Release(build);
  build.state = BuildState::kCancelled;
  build.activity = "cancelled";
  build.end_time = now;
  return absl::OkStatus();
}

void FailBuild(Build& build, absl::string_view error, absl::Time now) {
  Release(build);
  build.state = BuildState::kFailed;
  build.activity = "failed";
  build.error = std::string(error);
  build.end_time = now;
}

}  // namespace fieldloop::build
