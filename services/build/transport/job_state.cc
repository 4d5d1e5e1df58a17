// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/job_state.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;

// What fieldloop-trainer-runner ends with when another run may do better (sysexits.h).
constexpr int kExitTemporary = 75;
constexpr std::size_t kMaxSentence = 400;

// A field of an answer of the API; what has another type counts as missing.
const Json& At(const Json& json, const char* pointer) {
  static const Json kNone;
  const Json::json_pointer where(pointer);
  return json.contains(where) ? json.at(where) : kNone;
}

std::string Text(const Json& json, const char* pointer) {
  const Json& field = At(json, pointer);
  return field.is_string() ? field.get<std::string>() : "";
}

// A list of an answer of the API; empty if it is missing.
const Json& ListAt(const Json& json, const char* pointer) {
  static const Json kNone = Json::array();
  const Json& list = At(json, pointer);
  return list.is_array() ? list : kNone;
}

// The condition `type` if it has that status, else null.
const Json& Condition(const Json& object, absl::string_view type, absl::string_view status) {
  static const Json kNone;
  for (const Json& condition : ListAt(object, "/status/conditions")) {
    if (Text(condition, "/type") == type && Text(condition, "/status") == status) {
      return condition;
    }
  }
  return kNone;
}

std::string Joined(absl::string_view a, absl::string_view b) {
  return absl::StrCat(a, a.empty() || b.empty() ? "" : ": ", b);
}

bool IsDisruption(absl::string_view reason) {
  constexpr std::array<absl::string_view, 6> kReasons = {"Evicted",  "NodeLost",     "Preempting",
                                                         "Shutdown", "NodeShutdown", "Terminated"};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

}  // namespace

JobState StateOfJob(const Json& job) {
  JobState state;
  state.complete = !Condition(job, "Complete", "True").is_null();
  const Json& failed = Condition(job, "Failed", "True");
  state.failed = !failed.is_null();
  state.reason = Text(failed, "/reason");
  state.message = Text(failed, "/message");
  return state;
}

PodState StateOfPod(const Json& pods) {
  PodState state;
  const Json* pod = nullptr;
  for (const Json& item : ListAt(pods, "/items")) {
    if (pod == nullptr ||
        Text(item, "/metadata/creationTimestamp") > Text(*pod, "/metadata/creationTimestamp")) {
      pod = &item;
    }
  }
  if (pod == nullptr) {
    return state;
  }
  state.name = Text(*pod, "/metadata/name");
  const Json& waiting = At(*pod, "/status/containerStatuses/0/state/waiting");
  const Json& terminated = At(*pod, "/status/containerStatuses/0/state/terminated");
  state.has_ended = terminated.is_object();
  state.has_started =
      state.has_ended || At(*pod, "/status/containerStatuses/0/state/running").is_object();
  const std::string reason = Text(*pod, "/status/reason");
  const Json& disrupted = Condition(*pod, "DisruptionTarget", "True");
  state.is_disrupted = IsDisruption(reason) || !disrupted.is_null();
  if (state.is_disrupted) {
    state.message =
        Joined(reason.empty() ? Text(disrupted, "/reason") : reason,
               reason.empty() ? Text(disrupted, "/message") : Text(*pod, "/status/message"));
  } else if (state.has_ended) {
    const Json& code = At(terminated, "/exitCode");
    state.exit_code = code.is_number_integer() ? code.get<int>() : -1;
    state.out_of_memory = Text(terminated, "/reason") == "OOMKilled";
    state.message = Text(terminated, "/message");
  } else if (waiting.is_object()) {
    state.message = Joined(Text(waiting, "/reason"), Text(waiting, "/message"));
  } else {
    const Json& unscheduled = Condition(*pod, "PodScheduled", "False");
    state.message = Joined(Text(unscheduled, "/reason"), Text(unscheduled, "/message"));
  }
  state.message = state.message.substr(0, kMaxSentence);
  return state;
}

absl::Status FailureOf(const JobConfig& config, const TrainerLimits& limits, const JobState& job,
                       const PodState& pod) {
  if (pod.out_of_memory) {
    return absl::AbortedError(absl::StrFormat(
        "the trainer ran out of memory: Kubernetes ended its pod, which was to use %.0f MiB",
        static_cast<double>(limits.memory_bytes) / (1 << 20)));
  }
  if (job.reason == "DeadlineExceeded" && !pod.has_started) {
    return absl::DeadlineExceededError(absl::StrCat("the trainer's pod did not start in ",
                                                    absl::FormatDuration(config.start),
                                                    pod.message.empty() ? "" : ": ", pod.message));
  }
  if (job.reason == "DeadlineExceeded") {
    return absl::DeadlineExceededError(
        absl::StrCat("the trainer took longer than ", absl::FormatDuration(limits.time)));
  }
  // A pod that fills its disk would do so again.
  const std::string why = absl::AsciiStrToLower(pod.message);
  const bool fills_disk = absl::StrContains(why, "emptydir") || absl::StrContains(why, "ephemeral");
  if (pod.is_disrupted && !fills_disk) {
    return absl::UnavailableError(
        absl::StrCat("Kubernetes took the trainer's pod away: ", pod.message));
  }
  if (pod.is_disrupted) {
    return absl::AbortedError(absl::StrCat("the trainer filled its disk: ", pod.message));
  }
  if (pod.name.empty() || (pod.has_ended && pod.exit_code == kExitTemporary)) {
    return absl::UnavailableError(absl::StrCat("the trainer's pod did not work out: ",
                                               pod.name.empty() ? job.message : pod.message));
  }
  return absl::AbortedError(absl::StrCat("the trainer's pod ended with code ", pod.exit_code,
                                         pod.message.empty() ? "" : ": ", pod.message));
}

std::string StampedLines::Take(absl::string_view piece) {
  std::string lines;
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    line_.append(piece.data(), end == absl::string_view::npos ? piece.size() : end + 1);
    if (end == absl::string_view::npos) {
      break;
    }
    piece.remove_prefix(end + 1);
    const std::size_t space = line_.find(' ');
    // A line without a time is none of the log's: the kubelet says why it cannot read on.
    const std::string time = space == std::string::npos ? "" : line_.substr(0, space);
    const bool seen = reopened_ && (time < resume_ || (time == resume_ && again_ > 0));
    if (seen && time == resume_) {
      --again_;
    }
    if (!seen && !time.empty()) {
      at_last_ = time == last_ ? at_last_ + 1 : 1;
      last_ = time;
      lines += line_.substr(space + 1);
    }
    line_.clear();
  }
  return lines;
}

void StampedLines::Reopen() {
  line_.clear();
  reopened_ = true;
  resume_ = last_;
  again_ = at_last_;
}

}  // namespace fieldloop::build
