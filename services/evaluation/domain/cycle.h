// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/drift.h"
#include "services/evaluation/domain/evaluation.h"
#include "services/evaluation/domain/gate.h"
#include "services/evaluation/domain/neighbours.h"
#include "services/evaluation/domain/policy.h"

namespace fieldloop::evaluation {

// The numbers are those of fieldloop.evaluation.v1.Cycle.State, and are stored.
enum class CycleState {
  kObserving = 1,
  kTriggered = 2,
  kCollecting = 3,
  kBuilding = 4,
  kEvaluating = 5,
  kAwaitingApproval = 6,
  kRollingOut = 7,
  kCompleted = 8,
  kRejected = 9,
  kRolledBack = 10,
  kFailed = 11,
  kCancelled = 12,
};

bool IsFinal(CycleState state);
// "OBSERVING".
const char* CycleStateName(CycleState state);

struct Transition {
  CycleState from = CycleState::kObserving;
  CycleState to = CycleState::kObserving;
  absl::Time create_time;
  std::string author;
  std::string reason;
  std::map<std::string, std::string> evidence;

  friend bool operator==(const Transition&, const Transition&) = default;
};

enum class RolloutOutcome { kNone = 0, kCompleted = 1, kFailed = 2 };

// One turn of the loop.
struct Cycle {
  std::string project;  // "projects/x".
  std::int64_t number = 0;
  CycleState state = CycleState::kObserving;
  std::vector<Transition> transitions;
  std::string activity;
  std::string champion_model;
  std::string drift_report;
  std::string dataset_version;
  std::string build;
  std::string candidate_model;
  std::string evaluation;
  std::vector<GateResult> gate_results;
  std::string release;
  std::string rollout;
  int policy_version = 0;
  std::int64_t labelled_samples = 0;
  std::int64_t wanted_samples = 0;
  absl::Time create_time;
  absl::Time end_time;  // Epoch while it is not final.

  // Not shown to clients.
  std::string request_id;     // Of the CreateCycle that triggered it.
  std::int64_t revision = 0;  // Counts the changes.
  bool collection_open =
      false;  // Set before devices are asked, cleared after they are told to stop.
  bool collection_asked = false;  // Devices were asked.
  bool release_signed = false;
  bool rollout_noted =
      false;  // Set before the rollout is created: it may be there without its name.
  RolloutOutcome rollout_outcome = RolloutOutcome::kNone;
  std::string rollback_release;
  bool rollback_signed = false;
  std::string rollback_rollout;
  bool clean_up = false;  // Final, but something of it still runs elsewhere.

  std::string name() const;
  friend bool operator==(const Cycle&, const Cycle&) = default;
};

// The one thing that a cycle does next. Each is safe to do twice.
enum class Action {
  kNone,              // Waits for a person, or is done.
  kLookForTrigger,    // Latest drift report, labelled samples, time, champion.
  kResolveChampion,   //
  kNoteCollection,    // Writes down that a collection is about to open; calls no one.
  kOpenCollection,    //
  kCountSamples,      //
  kCloseCollection,   //
  kCreateVersion,     // Dataset version.
  kCreateBuild,       //
  kFollowBuild,       //
  kCreateEvaluation,  //
  kFollowEvaluation,  //
  kCreateRelease,     //
  kFollowRelease,     // Until enough keys have signed.
  kNoteRollout,       // Writes down that a rollout is about to start; calls no one.
  kCreateRollout,     //
  kFollowRollout,     //
  kPromote,           // Alias champion to the candidate.
  kCreateRollbackRelease,
  kFollowRollbackRelease,
  kCreateRollbackRollout,
  kFollowRollbackRollout,
  kCancelBuild,    // Clean-up.
  kCancelRollout,  // Clean-up.
};

Action NextAction(const Cycle& cycle, const Policy& policy);

// What doing an action brought to light; each action sets what it is about.
struct Facts {
  absl::Status status;                    // Of the action. When not OK, nothing else is set.
  std::string name;                       // Of what was created, or of the champion.
  bool champion_known = false;            // kLookForTrigger.
  std::optional<DriftReport> drift;       // kLookForTrigger: newest of this cycle.
  std::int64_t new_labelled_samples = 0;  // kLookForTrigger.
  SampleCounts counts;                    // kCountSamples.
  std::int64_t testing_samples = 0;       // kCountSamples.
  std::vector<std::string> classes;       // kCountSamples, with per_class.
  BuildStatus build;                      // kFollowBuild.
  std::optional<Evaluation> evaluation;   // kFollowEvaluation.
  bool release_signed = false;            // k...Release.
  RolloutStatus rollout;                  // kFollow...Rollout.
};

// The state machine: what `cycle` becomes after `action` brought `facts`. Pure; moves at most one
// transition, with reason and evidence. An error that may pass (IsTransient) only changes
// `activity`.
void NextStep(Cycle& cycle, const Policy& policy, Action action, const Facts& facts,
              absl::Time now);

// UNAVAILABLE, DEADLINE_EXCEEDED and others that say nothing about the request itself.
bool IsTransient(const absl::Status& status);

// When the cycle came into the state that it is in.
absl::Time StateTime(const Cycle& cycle);

// Moves to `to` with a transition; a final state gets its end and, where something still runs
// elsewhere, clean_up. The traceparent of this thread's work is in the evidence, under that name.
void Move(Cycle& cycle, CycleState to, absl::string_view author, absl::string_view reason,
          std::map<std::string, std::string> evidence, absl::Time now);

// Name under which `step` of a cycle is done once: "cycle-12-1700000000-build". The time keeps
// apart cycles of a database that was made anew.
std::string RequestIdOf(const Cycle& cycle, absl::string_view step);

// What the policy asks of devices.
Collection CollectionOf(const CollectPolicy& policy);

inline constexpr char kChampion[] = "champion";
inline constexpr char kCycleAuthor[] = "services/evaluation";

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_H_
