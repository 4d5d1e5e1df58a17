// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/cycle_driver.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace fieldloop::evaluation {
namespace {

// How soon to look again at a cycle that had to wait.
constexpr absl::Duration kPoll = absl::Seconds(1);
// The same where another service works for it.
constexpr absl::Duration kPollWork = absl::Milliseconds(300);
constexpr absl::Duration kLongestPause = absl::Minutes(1);
// Actions of one cycle in a row, so that one cannot keep others waiting.
constexpr int kMostInARow = 30;
constexpr char kCycleChanged[] = "CYCLE_CHANGED";

Facts Failed(const absl::Status& status) {
  Facts facts;
  facts.status = status;
  return facts;
}

Facts Named(const absl::StatusOr<std::string>& name) {
  Facts facts;
  facts.status = name.status();
  if (name.ok()) {
    facts.name = *name;
  }
  return facts;
}

Facts Of(const absl::StatusOr<ReleaseStatus>& release) {
  Facts facts;
  facts.status = release.status();
  if (release.ok()) {
    facts.name = release->name;
    facts.release_signed = release->is_signed;
  }
  return facts;
}

Facts Of(const absl::StatusOr<RolloutStatus>& rollout) {
  Facts facts;
  facts.status = rollout.status();
  if (rollout.ok()) {
    facts.rollout = *rollout;
  }
  return facts;
}

// The champion goes back to all at once; a device that cannot take it must not stop the others.
RolloutPolicy RollbackPlan(const RolloutPolicy& plan) {
  RolloutPolicy rollback = plan;
  rollback.stages.assign(1, StagePolicy());
  rollback.failure_percent = 100;
  return rollback;
}

// "projects/x/evaluations/7" -> 7.
absl::StatusOr<std::int64_t> NumberOf(const std::string& name) {
  std::int64_t number = 0;
  if (!absl::SimpleAtoi(absl::string_view(name).substr(name.rfind('/') + 1), &number)) {
    return absl::InvalidArgumentError(absl::StrCat("name: got \"", name, "\", want a number last"));
  }
  return number;
}

// What is asked again until the answer changes.
bool IsQuestion(Action action) {
  return action == Action::kLookForTrigger || action == Action::kCountSamples ||
         action == Action::kFollowBuild || action == Action::kFollowEvaluation ||
         action == Action::kFollowRelease || action == Action::kFollowRollout ||
         action == Action::kFollowRollbackRelease || action == Action::kFollowRollbackRollout;
}

// Where what triggered the cycle was, and what brought it into its state; none before.
std::vector<TraceContext> LinksOf(const Cycle& cycle) {
  std::vector<TraceContext> links;
  for (std::size_t i = 0; i < cycle.transitions.size(); ++i) {
    const Transition& transition = cycle.transitions[i];
    const auto kept = transition.evidence.find(kTraceparent);
    const bool tells = transition.to == CycleState::kTriggered || i + 1 == cycle.transitions.size();
    if (tells && kept != transition.evidence.end()) {
      links.push_back(TraceOf(kept->second));
    }
  }
  return links;
}

absl::Duration PollOf(CycleState state) {
  return state == CycleState::kBuilding || state == CycleState::kEvaluating ||
                 state == CycleState::kRollingOut
             ? kPollWork
             : kPoll;
}

}  // namespace

CycleDriver::CycleDriver(CycleStore& cycles, PolicyStore& policies, SketchStore& sketches,
                         EvaluationService& evaluations, Neighbours neighbours,
                         PolicyParser parse_policy, const Clock& clock, ChangeSignal& changed,
                         Telemetry& telemetry)
    : cycles_(cycles),
      policies_(policies),
      sketches_(sketches),
      evaluations_(evaluations),
      neighbours_(neighbours),
      parse_policy_(std::move(parse_policy)),
      clock_(clock),
      changed_(changed),
      telemetry_(telemetry) {}

absl::StatusOr<Policy> CycleDriver::PolicyOf(Cycle& cycle) {
  const bool newest = cycle.state == CycleState::kObserving;
  FIELDLOOP_ASSIGN_OR_RETURN(const PolicyVersion version,
                             policies_.Get(cycle.project, newest ? 0 : cycle.policy_version));
  cycle.policy_version = version.version;
  return parse_policy_(version.yaml);
}

Facts CycleDriver::LookForTrigger(const Cycle& cycle, const Policy& policy) {
  Facts facts;
  const absl::StatusOr<Model> champion =
      neighbours_.models.GetModel(absl::StrCat(cycle.project, "/models/", kChampion));
  if (champion.status().code() == absl::StatusCode::kNotFound) {
    return facts;
  }
  if (!champion.ok()) {
    return Failed(champion.status());
  }
  facts.champion_known = true;
  for (const bool only_drift : {true, false}) {
    absl::StatusOr<std::optional<DriftReport>> report =
        sketches_.LatestReport(cycle.project, champion->digest, cycle.create_time, only_drift);
    if (!report.ok()) {
      return Failed(report.status());
    }
    facts.drift = *std::move(report);
    if (facts.drift.has_value()) {
      break;
    }
  }
  if (policy.trigger.labelled_samples > 0) {
    const absl::StatusOr<SampleCounts> counts =
        neighbours_.samples.CountLabelled(cycle.project, false, false, cycle.create_time);
    if (!counts.ok()) {
      return Failed(counts.status());
    }
    facts.new_labelled_samples = counts->labelled;
  }
  return facts;
}

Facts CycleDriver::CountSamples(const Cycle& cycle, const CollectPolicy& collect) {
  Facts facts;
  const absl::Time since = StateTime(cycle);
  const absl::StatusOr<SampleCounts> counts =
      neighbours_.samples.CountLabelled(cycle.project, true, false, since);
  if (!counts.ok()) {
    return Failed(counts.status());
  }
  facts.counts = *counts;
  if (collect.testing_samples > 0) {
    const absl::StatusOr<SampleCounts> testing =
        neighbours_.samples.CountLabelled(cycle.project, true, true, since);
    if (!testing.ok()) {
      return Failed(testing.status());
    }
    facts.testing_samples = testing->labelled;
  }
  if (collect.per_class > 0) {
    const absl::StatusOr<Model> champion = neighbours_.models.GetModel(cycle.champion_model);
    if (!champion.ok()) {
      return Failed(champion.status());
    }
    facts.classes = champion->classes;
  }
  return facts;
}

Facts CycleDriver::Do(Action action, const Cycle& cycle, const Policy& policy) {
  ModelRegistry& models = neighbours_.models;
  const std::string dataset = absl::StrCat(cycle.project, "/datasets/", policy.build.dataset);
  const Collection collection = CollectionOf(policy.collect.value_or(CollectPolicy()));
  switch (action) {
    case Action::kNone:
    case Action::kNoteCollection:
    case Action::kNoteRollout:
      return {};
    case Action::kLookForTrigger:
      return LookForTrigger(cycle, policy);
    case Action::kResolveChampion: {
      const absl::StatusOr<Model> champion =
          models.GetModel(absl::StrCat(cycle.project, "/models/", kChampion));
      return champion.ok() ? Named(champion->name) : Failed(champion.status());
    }
    case Action::kOpenCollection:
      return Failed(neighbours_.fleet.OpenCollection(cycle.project, collection));
    case Action::kCountSamples:
      return CountSamples(cycle, policy.collect.value_or(CollectPolicy()));
    case Action::kCloseCollection:
      return Failed(neighbours_.fleet.CloseCollection(cycle.project, collection));
    case Action::kCreateVersion:
      if (absl::Status made = neighbours_.samples.EnsureDataset(dataset); !made.ok()) {
        return Failed(made);
      }
      return Named(neighbours_.samples.CreateDatasetVersion(dataset));
    case Action::kCreateBuild:
      return Named(
          models.CreateBuild(cycle.project, cycle.dataset_version,
                             absl::StrCat(cycle.project, "/impulses/", policy.build.impulse),
                             policy.build.seed, RequestIdOf(cycle, "build")));
    case Action::kFollowBuild: {
      const absl::StatusOr<BuildStatus> build = models.GetBuild(cycle.build);
      Facts facts = Failed(build.status());
      if (build.ok()) {
        facts.build = *build;
      }
      return facts;
    }
    case Action::kCreateEvaluation: {
      Evaluation wanted;
      wanted.project = cycle.project;
      wanted.model = cycle.candidate_model;
      wanted.dataset_version = cycle.dataset_version;
      wanted.baseline_model = cycle.champion_model;
      wanted.slice_keys = SliceKeys(policy.gate);
      const absl::StatusOr<Evaluation> made =
          evaluations_.Create(wanted, RequestIdOf(cycle, "evaluation"));
      return made.ok() ? Named(made->name()) : Failed(made.status());
    }
    case Action::kFollowEvaluation: {
      const absl::StatusOr<std::int64_t> number = NumberOf(cycle.evaluation);
      if (!number.ok()) {
        return Failed(number.status());
      }
      absl::StatusOr<Evaluation> evaluation = evaluations_.Get(cycle.project, *number);
      Facts facts = Failed(evaluation.status());
      if (evaluation.ok()) {
        facts.evaluation = *std::move(evaluation);
      }
      return facts;
    }
    case Action::kCreateRelease:
      return Of(models.CreateRelease(cycle.project, cycle.candidate_model,
                                     policy.rollout.hardware_ids, RequestIdOf(cycle, "release")));
    case Action::kFollowRelease:
      return Of(models.GetRelease(cycle.release));
    case Action::kCreateRollout:
      return Named(neighbours_.fleet.CreateRollout(cycle.project, cycle.release, policy.rollout,
                                                   RequestIdOf(cycle, "rollout")));
    case Action::kFollowRollout:
      return Of(neighbours_.fleet.GetRollout(cycle.rollout));
    case Action::kPromote:
      return Failed(models.SetAlias(cycle.project, kChampion, cycle.candidate_model,
                                    absl::StrCat(cycle.name(), " completed")));
    case Action::kCreateRollbackRelease:
      return Of(models.CreateRelease(cycle.project, cycle.champion_model,
                                     policy.rollout.hardware_ids,
                                     RequestIdOf(cycle, "rollback-release")));
    case Action::kFollowRollbackRelease:
      return Of(models.GetRelease(cycle.rollback_release));
    case Action::kCreateRollbackRollout:
      return Named(neighbours_.fleet.CreateRollout(cycle.project, cycle.rollback_release,
                                                   RollbackPlan(policy.rollout),
                                                   RequestIdOf(cycle, "rollback-rollout")));
    case Action::kFollowRollbackRollout:
      return Of(neighbours_.fleet.GetRollout(cycle.rollback_rollout));
    case Action::kCancelBuild:
      return Failed(models.CancelBuild(cycle.build));
    case Action::kCancelRollout:
      return Failed(neighbours_.fleet.CancelRollout(cycle.rollout,
                                                    absl::StrCat(cycle.name(), " was cancelled")));
  }
  return {};
}

absl::StatusOr<CycleDriver::Progress> CycleDriver::Advance(const std::string& project,
                                                           std::int64_t number) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Cycle before, cycles_.Get(project, number));
  WorkSpan work(absl::StrCat("cycle ", CycleStateName(before.state)), SpanKind::kInternal, {},
                {{"cycle", before.name()}}, LinksOf(before));
  Cycle after = before;
  FIELDLOOP_ASSIGN_OR_RETURN(const Policy policy, PolicyOf(after));
  const Action action = NextAction(after, policy);
  Facts facts;
  if (IsQuestion(action)) {
    const QuietScope quiet;
    facts = Do(action, after, policy);
  } else {
    facts = Do(action, after, policy);
  }
  NextStep(after, policy, action, facts, clock_.Now());

  Progress progress{.changed = false, .status = facts.status};
  work.span().Finish(facts.status);
  if (!facts.name.empty()) {
    work.span().Set("fieldloop.made", facts.name);
  }
  if (after == before) {
    if (facts.status.ok()) {
      work.span().Drop();  // It waits.
    }
    return progress;
  }
  const absl::StatusOr<Cycle> stored =
      cycles_.Update(project, number, [&](Cycle& cycle) -> absl::Status {
        // Somebody approved or cancelled meanwhile: what was done is found again, because it is
        // done under the same name.
        if (cycle.revision != before.revision) {
          return ErrorWithReason(absl::StatusCode::kFailedPrecondition, kCycleChanged,
                                 "the cycle has changed meanwhile");
        }
        cycle = after;
        return absl::OkStatus();
      });
  if (ReasonOf(stored.status()) == kCycleChanged) {
    progress.changed = true;
    return progress;
  }
  FIELDLOOP_RETURN_IF_ERROR(stored.status());
  progress.changed = true;
  if (after.state != before.state) {
    telemetry_.CycleMoved(*stored);
  }
  changed_.Notify();
  return progress;
}

absl::Status CycleDriver::RunDue() {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto idle, cycles_.ListIdleProjects());
  for (const auto& [project, version] : idle) {
    FIELDLOOP_RETURN_IF_ERROR(cycles_.EnsureActive(project, version, clock_.Now()).status());
    changed_.Notify();
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<CycleWork> work, cycles_.ListWork());
  std::map<std::pair<std::string, std::int64_t>, Pause> pauses;
  for (const CycleWork& item : work) {
    const std::pair<std::string, std::int64_t> key(item.project, item.number);
    const auto found = pauses_.find(key);
    Pause pause = found == pauses_.end() ? Pause() : found->second;
    if (clock_.Now() >= pause.until) {
      absl::Status trouble;
      for (int i = 0; i < kMostInARow; ++i) {
        const absl::StatusOr<Progress> progress = Advance(item.project, item.number);
        trouble = progress.ok() ? progress->status : progress.status();
        if (!progress.ok() || !progress->changed || IsTransient(progress->status)) {
          break;
        }
      }
      if (!trouble.ok()) {
        telemetry_.BackgroundError(absl::StrCat(item.project, "/cycles/", item.number), trouble);
        pause.length = std::min(std::max(kPoll, 2 * pause.length), kLongestPause);
      } else {
        pause.length = PollOf(item.state);
      }
      pause.until = clock_.Now() + pause.length;
    }
    pauses[key] = pause;
  }
  pauses_ = std::move(pauses);
  return absl::OkStatus();
}

}  // namespace fieldloop::evaluation
