// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/cycle.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/common/status/error_reason.h"
#include "services/common/trace/span.h"

namespace fieldloop::evaluation {
namespace {

using Evidence = std::map<std::string, std::string>;

Evidence DriftEvidence(const DriftReport& report) {
  Evidence evidence = {{"drift_report", report.name()},
                       {"statistic", absl::StrFormat("%.3f", report.statistic)},
                       {"limit", absl::StrFormat("%.3f", report.limit)},
                       {"devices", absl::StrCat(report.device_count)},
                       {"drifted_devices", absl::StrCat(report.drifted_devices)}};
  for (const ChannelDrift& channel : report.channels) {
    evidence[absl::StrCat("p/", channel.channel)] = absl::StrFormat("%.3g", channel.p_value);
    evidence[absl::StrCat("mean_w1_bins/", channel.channel)] =
        absl::StrFormat("%.3f", channel.mean_w1_bins);
    evidence[absl::StrCat("median_excess_bins/", channel.channel)] =
        absl::StrFormat("%.3f", channel.median_excess_bins);
  }
  return evidence;
}

void LookForTrigger(Cycle& cycle, const Policy& policy, const Facts& facts, absl::Time now) {
  if (!facts.champion_known) {
    cycle.activity = "No model has the alias champion yet";
    return;
  }
  const TriggerPolicy& trigger = policy.trigger;
  if (trigger.drift.has_value() && facts.drift.has_value() &&
      facts.drift->verdict == DriftVerdict::kDrift) {
    cycle.drift_report = facts.drift->name();
    Move(cycle, CycleState::kTriggered, kCycleAuthor, facts.drift->explanation,
         DriftEvidence(*facts.drift), now);
    return;
  }
  if (trigger.labelled_samples > 0 && facts.new_labelled_samples >= trigger.labelled_samples) {
    Move(cycle, CycleState::kTriggered, kCycleAuthor,
         absl::StrFormat("%d new labelled samples, want %d", facts.new_labelled_samples,
                         trigger.labelled_samples),
         {{"labelled_samples", absl::StrCat(facts.new_labelled_samples)},
          {"limit", absl::StrCat(trigger.labelled_samples)}},
         now);
    return;
  }
  if (trigger.every > absl::ZeroDuration() && now - cycle.create_time >= trigger.every) {
    Move(cycle, CycleState::kTriggered, kCycleAuthor,
         absl::StrCat("Scheduled every ", absl::FormatDuration(trigger.every)),
         {{"every", absl::FormatDuration(trigger.every)}}, now);
    return;
  }
  std::vector<std::string> waits;
  if (trigger.drift.has_value()) {
    waits.push_back(!facts.drift.has_value()
                        ? "drift (no look yet)"
                        : absl::StrCat("drift (", facts.drift->explanation, ")"));
  }
  if (trigger.labelled_samples > 0) {
    waits.push_back(absl::StrFormat("labelled samples (%d of %d)", facts.new_labelled_samples,
                                    trigger.labelled_samples));
  }
  if (trigger.every > absl::ZeroDuration()) {
    waits.push_back(absl::StrCat(
        "its time, ", absl::FormatTime(cycle.create_time + trigger.every, absl::UTCTimeZone())));
  }
  cycle.activity =
      waits.empty() ? "Waits for a person" : absl::StrCat("Waits for ", absl::StrJoin(waits, "; "));
}

void CountSamples(Cycle& cycle, const CollectPolicy& collect, const Facts& facts, absl::Time now) {
  cycle.labelled_samples = facts.counts.labelled;
  cycle.wanted_samples =
      std::max(collect.labelled_samples,
               collect.per_class * static_cast<std::int64_t>(facts.classes.size()));
  std::vector<std::string> missing;
  if (facts.counts.labelled < collect.labelled_samples) {
    missing.push_back(
        absl::StrFormat("%d of %d labelled", facts.counts.labelled, collect.labelled_samples));
  }
  for (const std::string& label : facts.classes) {
    const auto found = facts.counts.by_label.find(label);
    const std::int64_t count = found == facts.counts.by_label.end() ? 0 : found->second;
    if (count < collect.per_class) {
      missing.push_back(absl::StrFormat("%d of %d %s", count, collect.per_class, label));
    }
  }
  if (facts.testing_samples < collect.testing_samples) {
    missing.push_back(
        absl::StrFormat("%d of %d for testing", facts.testing_samples, collect.testing_samples));
  }
  const Evidence evidence = {{"labelled_samples", absl::StrCat(facts.counts.labelled)},
                             {"testing_samples", absl::StrCat(facts.testing_samples)},
                             {"limit", absl::StrCat(collect.labelled_samples)}};
  if (missing.empty()) {
    Move(cycle, CycleState::kBuilding, kCycleAuthor,
         absl::StrFormat("%d samples of devices are labelled, want %d", facts.counts.labelled,
                         cycle.wanted_samples),
         evidence, now);
  } else if (now - StateTime(cycle) >= collect.timeout) {
    Move(cycle, CycleState::kFailed, kCycleAuthor,
         absl::StrCat("Collecting took longer than ", absl::FormatDuration(collect.timeout), ": ",
                      absl::StrJoin(missing, ", ")),
         evidence, now);
  } else {
    cycle.activity = absl::StrCat("Waits for samples of devices and their labels: ",
                                  absl::StrJoin(missing, ", "));
  }
}

void FollowBuild(Cycle& cycle, const Facts& facts, absl::Time now) {
  const Evidence evidence = {{"build", cycle.build}, {"dataset_version", cycle.dataset_version}};
  switch (facts.build.state) {
    case BuildStatus::State::kRunning:
      cycle.activity =
          absl::StrFormat("Builds, %.0f %%: %s", 100 * facts.build.progress, facts.build.activity);
      return;
    case BuildStatus::State::kSucceeded: {
      cycle.candidate_model = facts.build.model;
      Evidence with_model = evidence;
      with_model["candidate_model"] = facts.build.model;
      Move(cycle, CycleState::kEvaluating, kCycleAuthor, absl::StrCat("Built ", facts.build.model),
           std::move(with_model), now);
      return;
    }
    case BuildStatus::State::kFailed:
      Move(cycle, CycleState::kFailed, kCycleAuthor,
           absl::StrCat("The build failed: ", facts.build.error), evidence, now);
      return;
    case BuildStatus::State::kCancelled:
      Move(cycle, CycleState::kFailed, kCycleAuthor, "The build was cancelled", evidence, now);
      return;
  }
}

void FollowEvaluation(Cycle& cycle, const Policy& policy, const Facts& facts, absl::Time now) {
  const Evaluation& evaluation = *facts.evaluation;
  if (!evaluation.done()) {
    cycle.activity = evaluation.error.empty()
                         ? absl::StrFormat("Evaluates the candidate against the champion, %.0f %%",
                                           100 * evaluation.progress)
                         : absl::StrCat("Evaluation: ", evaluation.error);
    return;
  }
  Evidence evidence = {{"evaluation", evaluation.name()},
                       {"candidate_model", evaluation.model},
                       {"champion_model", evaluation.baseline_model}};
  if (evaluation.state == EvaluationState::kFailed) {
    Move(cycle, CycleState::kFailed, kCycleAuthor,
         absl::StrCat("The evaluation failed: ", evaluation.error), std::move(evidence), now);
    return;
  }
  cycle.gate_results = JudgeGate(policy.gate, evaluation);
  std::vector<std::string> failed;
  std::vector<std::string> inconclusive;
  for (const GateResult& result : cycle.gate_results) {
    const std::string text = absl::StrCat(result.rule, ": ", result.explanation);
    const char* verdict = "PASS";
    if (result.verdict == Verdict::kFail) {
      verdict = "FAIL";
      failed.push_back(text);
    } else if (result.verdict == Verdict::kInconclusive) {
      verdict = "INCONCLUSIVE";
      inconclusive.push_back(text);
    }
    evidence[absl::StrCat("gate/", result.rule)] = absl::StrCat(verdict, ": ", result.explanation);
  }
  switch (Overall(cycle.gate_results)) {
    case Verdict::kFail:
      Move(cycle, CycleState::kRejected, kCycleAuthor,
           absl::StrCat("The gate failed: ", absl::StrJoin(failed, "; ")), std::move(evidence),
           now);
      return;
    case Verdict::kInconclusive:
      if (policy.on_inconclusive == OnInconclusive::kReject) {
        Move(cycle, CycleState::kRejected, kCycleAuthor,
             absl::StrCat("The gate is inconclusive: ", absl::StrJoin(inconclusive, "; ")),
             std::move(evidence), now);
      } else {
        Move(cycle, CycleState::kAwaitingApproval, kCycleAuthor,
             absl::StrCat("The gate is inconclusive: ", absl::StrJoin(inconclusive, "; ")),
             std::move(evidence), now);
      }
      return;
    case Verdict::kPass:
      if (policy.rollout.approval_required) {
        Move(cycle, CycleState::kAwaitingApproval, kCycleAuthor,
             "The gate passed, and the policy wants a person's approval", std::move(evidence), now);
      } else {
        Move(cycle, CycleState::kRollingOut, kCycleAuthor, "The gate passed", std::move(evidence),
             now);
      }
      return;
  }
}

Evidence RolloutEvidence(const std::string& name, const RolloutStatus& rollout) {
  return {{"rollout", name},
          {"target_devices", absl::StrCat(rollout.target_count)},
          {"confirmed_devices", absl::StrCat(rollout.confirmed_count)},
          {"failed_devices", absl::StrCat(rollout.failed_count)}};
}

std::string RolloutProgress(const RolloutStatus& rollout) {
  return absl::StrFormat("stage %d, %d of %d devices confirmed, %d failed%s", rollout.stage + 1,
                         rollout.confirmed_count, rollout.target_count, rollout.failed_count,
                         rollout.state == RolloutStatus::State::kPaused
                             ? absl::StrCat("; paused: ", rollout.reason)
                             : std::string());
}

void FollowRollout(Cycle& cycle, const Facts& facts, absl::Time now) {
  const RolloutStatus& rollout = facts.rollout;
  switch (rollout.state) {
    case RolloutStatus::State::kRunning:
    case RolloutStatus::State::kPaused:
      cycle.activity = absl::StrCat("Rolls out: ", RolloutProgress(rollout));
      return;
    case RolloutStatus::State::kCompleted:
      cycle.rollout_outcome = RolloutOutcome::kCompleted;
      cycle.activity =
          absl::StrFormat("Makes the candidate the champion: %d of %d devices confirmed",
                          rollout.confirmed_count, rollout.target_count);
      return;
    case RolloutStatus::State::kFailed:
      cycle.rollout_outcome = RolloutOutcome::kFailed;
      cycle.activity = absl::StrCat("Gives the devices the champion again: the rollout failed (",
                                    rollout.reason, ")");
      return;
    case RolloutStatus::State::kCancelled:
      Move(cycle, CycleState::kCancelled, kCycleAuthor,
           absl::StrCat("The rollout was cancelled: ", rollout.reason),
           RolloutEvidence(cycle.rollout, rollout), now);
      return;
  }
}

void FollowRollback(Cycle& cycle, const Facts& facts, absl::Time now) {
  const RolloutStatus& rollout = facts.rollout;
  Evidence evidence = RolloutEvidence(cycle.rollback_rollout, rollout);
  evidence["failed_rollout"] = cycle.rollout;
  evidence["release"] = cycle.rollback_release;
  evidence["champion_model"] = cycle.champion_model;
  switch (rollout.state) {
    case RolloutStatus::State::kRunning:
    case RolloutStatus::State::kPaused:
      cycle.activity =
          absl::StrCat("Gives the devices the champion again: ", RolloutProgress(rollout));
      return;
    case RolloutStatus::State::kCompleted:
      Move(cycle, CycleState::kRolledBack, kCycleAuthor,
           absl::StrFormat("The rollout failed; %d of %d devices confirmed the champion again",
                           rollout.confirmed_count, rollout.target_count),
           std::move(evidence), now);
      return;
    case RolloutStatus::State::kFailed:
    case RolloutStatus::State::kCancelled:
      Move(cycle, CycleState::kFailed, kCycleAuthor,
           absl::StrCat("The rollout failed, and so did giving the champion again: ",
                        rollout.reason),
           std::move(evidence), now);
      return;
  }
}

// Why an action's error does not end the cycle though it is not transient; empty if it does.
std::string WaitsFor(Action action, const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if ((action == Action::kCreateRollout || action == Action::kCreateRollbackRollout) &&
      (reason == "ROLLOUT_ACTIVE" || reason == "RELEASE_NOT_SIGNED")) {
    return std::string(status.message());
  }
  return "";
}

const char* ActionText(Action action) {
  switch (action) {
    case Action::kNone:
    case Action::kNoteCollection:
    case Action::kNoteRollout:
      return "";
    case Action::kLookForTrigger:
      return "Looking for a trigger";
    case Action::kResolveChampion:
      return "Looking up the champion";
    case Action::kOpenCollection:
      return "Asking devices for samples";
    case Action::kCountSamples:
      return "Counting samples";
    case Action::kCloseCollection:
      return "Telling devices to stop sending samples";
    case Action::kCreateVersion:
      return "Making a dataset version";
    case Action::kCreateBuild:
      return "Starting the build";
    case Action::kFollowBuild:
      return "Following the build";
    case Action::kCreateEvaluation:
      return "Starting the evaluation";
    case Action::kFollowEvaluation:
      return "Following the evaluation";
    case Action::kCreateRelease:
    case Action::kCreateRollbackRelease:
      return "Making a release";
    case Action::kFollowRelease:
    case Action::kFollowRollbackRelease:
      return "Looking at the release";
    case Action::kCreateRollout:
    case Action::kCreateRollbackRollout:
      return "Starting the rollout";
    case Action::kFollowRollout:
    case Action::kFollowRollbackRollout:
      return "Following the rollout";
    case Action::kPromote:
      return "Making the candidate the champion";
    case Action::kCancelBuild:
      return "Cancelling the build";
    case Action::kCancelRollout:
      return "Cancelling the rollout";
  }
  return "";
}

void OnError(Cycle& cycle, Action action, const absl::Status& status, absl::Time now) {
  const std::string message(status.message());
  if (IsTransient(status)) {
    if (!IsFinal(cycle.state)) {
      cycle.activity =
          absl::StrCat(ActionText(action), ": ", absl::StatusCodeToString(status.code()), ": ",
                       message, "; tries again");
    }
    return;
  }
  if (action == Action::kCloseCollection || IsFinal(cycle.state)) {
    // There is nothing left to take away, or no way to.
    cycle.collection_open = false;
    cycle.clean_up = false;
    return;
  }
  if (const std::string wait = WaitsFor(action, status); !wait.empty()) {
    cycle.activity = absl::StrCat(ActionText(action), ": ", wait, "; tries again");
    return;
  }
  if (action == Action::kLookForTrigger) {
    cycle.activity = absl::StrCat(ActionText(action), ": ", message);
    return;
  }
  Evidence evidence = {{"code", absl::StatusCodeToString(status.code())}};
  if (const std::string reason = ReasonOf(status); !reason.empty()) {
    evidence["reason"] = reason;
  }
  Move(cycle, CycleState::kFailed, kCycleAuthor, absl::StrCat(ActionText(action), ": ", message),
       std::move(evidence), now);
}

}  // namespace

bool IsFinal(CycleState state) { return state >= CycleState::kCompleted; }

const char* CycleStateName(CycleState state) {
  switch (state) {
    case CycleState::kObserving:
      return "OBSERVING";
    case CycleState::kTriggered:
      return "TRIGGERED";
    case CycleState::kCollecting:
      return "COLLECTING";
    case CycleState::kBuilding:
      return "BUILDING";
    case CycleState::kEvaluating:
      return "EVALUATING";
    case CycleState::kAwaitingApproval:
      return "AWAITING_APPROVAL";
    case CycleState::kRollingOut:
      return "ROLLING_OUT";
    case CycleState::kCompleted:
      return "COMPLETED";
    case CycleState::kRejected:
      return "REJECTED";
    case CycleState::kRolledBack:
      return "ROLLED_BACK";
    case CycleState::kFailed:
      return "FAILED";
    case CycleState::kCancelled:
      return "CANCELLED";
  }
  return "";
}

absl::Time StateTime(const Cycle& cycle) {
  return cycle.transitions.empty() ? cycle.create_time : cycle.transitions.back().create_time;
}

std::string Cycle::name() const { return absl::StrCat(project, "/cycles/", number); }

Action NextAction(const Cycle& cycle, const Policy& policy) {
  if (IsFinal(cycle.state)) {
    if (!cycle.clean_up) {
      return Action::kNone;
    }
    if (cycle.collection_open) {
      return Action::kCloseCollection;
    }
    if (!cycle.rollout.empty()) {
      return Action::kCancelRollout;
    }
    // A rollout may have started just when the cycle ended: the same request gives its name.
    return cycle.rollout_noted ? Action::kCreateRollout : Action::kCancelBuild;
  }
  switch (cycle.state) {
    case CycleState::kObserving:
      return Action::kLookForTrigger;
    case CycleState::kTriggered:
      return Action::kResolveChampion;
    case CycleState::kCollecting:
      if (!policy.collect.has_value()) {
        return Action::kNone;
      }
      if (!cycle.collection_open) {
        return Action::kNoteCollection;
      }
      return cycle.collection_asked ? Action::kCountSamples : Action::kOpenCollection;
    case CycleState::kBuilding:
      if (cycle.collection_open) {
        return Action::kCloseCollection;
      }
      if (cycle.dataset_version.empty()) {
        return Action::kCreateVersion;
      }
      return cycle.build.empty() ? Action::kCreateBuild : Action::kFollowBuild;
    case CycleState::kEvaluating:
      return cycle.evaluation.empty() ? Action::kCreateEvaluation : Action::kFollowEvaluation;
    case CycleState::kAwaitingApproval:
      return Action::kNone;
    case CycleState::kRollingOut:
      if (cycle.release.empty()) {
        return Action::kCreateRelease;
      }
      if (!cycle.release_signed) {
        return Action::kFollowRelease;
      }
      if (!cycle.rollout_noted) {
        return Action::kNoteRollout;
      }
      if (cycle.rollout.empty()) {
        return Action::kCreateRollout;
      }
      if (cycle.rollout_outcome == RolloutOutcome::kNone) {
        return Action::kFollowRollout;
      }
      if (cycle.rollout_outcome == RolloutOutcome::kCompleted) {
        return Action::kPromote;
      }
      if (cycle.rollback_release.empty()) {
        return Action::kCreateRollbackRelease;
      }
      if (!cycle.rollback_signed) {
        return Action::kFollowRollbackRelease;
      }
      return cycle.rollback_rollout.empty() ? Action::kCreateRollbackRollout
                                            : Action::kFollowRollbackRollout;
    default:
      return Action::kNone;
  }
}

void NextStep(Cycle& cycle, const Policy& policy, Action action, const Facts& facts,
              absl::Time now) {
  if (!facts.status.ok()) {
    OnError(cycle, action, facts.status, now);
    return;
  }
  switch (action) {
    case Action::kNone:
      return;
    case Action::kLookForTrigger:
      LookForTrigger(cycle, policy, facts, now);
      return;
    case Action::kResolveChampion:
      cycle.champion_model = facts.name;
      if (policy.collect.has_value()) {
        Move(cycle, CycleState::kCollecting, kCycleAuthor,
             absl::StrCat("The champion is ", facts.name, "; devices are asked for samples"),
             {{"champion_model", facts.name}}, now);
      } else {
        Move(cycle, CycleState::kBuilding, kCycleAuthor,
             absl::StrCat("The champion is ", facts.name, "; the policy collects nothing"),
             {{"champion_model", facts.name}}, now);
      }
      return;
    case Action::kNoteCollection:
      cycle.collection_open = true;
      cycle.activity = "Asks devices for samples";
      return;
    case Action::kOpenCollection:
      cycle.collection_asked = true;
      cycle.activity = "Asked devices for samples";
      return;
    case Action::kCountSamples:
      if (policy.collect.has_value()) {
        CountSamples(cycle, *policy.collect, facts, now);
      }
      return;
    case Action::kCloseCollection:
      cycle.collection_open = false;
      cycle.clean_up = false;
      return;
    case Action::kCreateVersion:
      cycle.dataset_version = facts.name;
      cycle.activity = absl::StrCat("Builds from ", facts.name);
      return;
    case Action::kCreateBuild:
      cycle.build = facts.name;
      cycle.activity = absl::StrCat("Started ", facts.name);
      return;
    case Action::kFollowBuild:
      FollowBuild(cycle, facts, now);
      return;
    case Action::kCreateEvaluation:
      cycle.evaluation = facts.name;
      cycle.activity = absl::StrCat("Started ", facts.name);
      return;
    case Action::kFollowEvaluation:
      FollowEvaluation(cycle, policy, facts, now);
      return;
    case Action::kCreateRelease:
      cycle.release = facts.name;
      cycle.release_signed = facts.release_signed;
      cycle.activity = absl::StrCat("Made ", facts.name);
      return;
    case Action::kFollowRelease:
      cycle.release_signed = facts.release_signed;
      cycle.activity = facts.release_signed
                           ? absl::StrCat(cycle.release, " is signed")
                           : absl::StrCat("Waits for signatures on ", cycle.release);
      return;
    case Action::kNoteRollout:
      cycle.rollout_noted = true;
      cycle.activity = absl::StrCat("Starts the rollout of ", cycle.release);
      return;
    case Action::kCreateRollout:
      cycle.rollout = facts.name;
      cycle.activity = IsFinal(cycle.state) ? std::string() : absl::StrCat("Started ", facts.name);
      return;
    case Action::kFollowRollout:
      FollowRollout(cycle, facts, now);
      return;
    case Action::kPromote:
      Move(cycle, CycleState::kCompleted, kCycleAuthor,
           absl::StrCat("The fleet runs ", cycle.candidate_model, ", which is the champion now"),
           {{"rollout", cycle.rollout},
            {"release", cycle.release},
            {"candidate_model", cycle.candidate_model},
            {"champion_before", cycle.champion_model}},
           now);
      return;
    case Action::kCreateRollbackRelease:
      cycle.rollback_release = facts.name;
      cycle.rollback_signed = facts.release_signed;
      cycle.activity = absl::StrCat("Made ", facts.name, " of the champion");
      return;
    case Action::kFollowRollbackRelease:
      cycle.rollback_signed = facts.release_signed;
      cycle.activity = facts.release_signed
                           ? absl::StrCat(cycle.rollback_release, " is signed")
                           : absl::StrCat("Waits for signatures on ", cycle.rollback_release);
      return;
    case Action::kCreateRollbackRollout:
      cycle.rollback_rollout = facts.name;
      cycle.activity = absl::StrCat("Started ", facts.name, " of the champion");
      return;
    case Action::kFollowRollbackRollout:
      FollowRollback(cycle, facts, now);
      return;
    case Action::kCancelBuild:
    case Action::kCancelRollout:
      cycle.clean_up = false;
      return;
  }
}

bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kUnauthenticated:
      return true;
    default:
      return false;
  }
}

void Move(Cycle& cycle, CycleState to, absl::string_view author, absl::string_view reason,
          std::map<std::string, std::string> evidence, absl::Time now) {
  const CycleState from = cycle.state;
  evidence["cycle"] = cycle.name();
  if (const std::string trace = CurrentTraceparent(); !trace.empty()) {
    evidence[kTraceparent] = trace;
  }
  cycle.transitions.push_back({.from = from,
                               .to = to,
                               .create_time = now,
                               .author = std::string(author),
                               .reason = std::string(reason),
                               .evidence = std::move(evidence)});
  cycle.state = to;
  cycle.activity = "";
  if (IsFinal(to)) {
    cycle.end_time = now;
    const bool build_runs = from == CycleState::kBuilding && !cycle.build.empty();
    const bool rollout_runs = from == CycleState::kRollingOut && cycle.rollout_noted &&
                              cycle.rollout_outcome == RolloutOutcome::kNone;
    cycle.clean_up = cycle.collection_open || build_runs || rollout_runs;
  }
}

std::string RequestIdOf(const Cycle& cycle, absl::string_view step) {
  return absl::StrCat("cycle-", cycle.number, "-", absl::ToUnixSeconds(cycle.create_time), "-",
                      step);
}

Collection CollectionOf(const CollectPolicy& policy) {
  return {.attributes = policy.attributes,
          .samples_per_period = policy.samples_per_device_per_period,
          .random_share = policy.random_share,
          .samples_total = policy.samples_per_device};
}

}  // namespace fieldloop::evaluation
