// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/cycle_driver.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/sql/database.h"
#include "services/common/status/error_reason.h"
#include "services/common/trace/span.h"
#include "services/evaluation/domain/cycle_service.h"
#include "services/evaluation/storage/sql_stores.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/services/common/trace/span_collector.h"
#include "tests/services/evaluation/support/fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::SpanCollector;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kProject[] = "projects/x";

Policy TestPolicy() {
  Policy policy;
  policy.trigger.drift = DriftPolicy();
  policy.collect = CollectPolicy();
  policy.collect->labelled_samples = 100;
  policy.build = {.impulse = "motion", .dataset = "all", .seed = 1};
  GateRule rule;
  rule.slice = "source=device";
  rule.test = GateTest::kSuperior;
  policy.gate = {rule};
  policy.rollout.approval_required = false;
  return policy;
}

// A store that dies: the write with number `dies_at` is lost, as when the process is killed after
// it has acted and before it could write that down.
class MortalCycleStore final : public CycleStore {
 public:
  explicit MortalCycleStore(CycleStore& store) : store_(store) {}
  int writes = 0;
  int dies_at = -1;
  std::function<void()> before_write;  // Somebody else, just before.

  absl::StatusOr<Cycle> EnsureActive(const std::string& project, int policy_version,
                                     absl::Time now) override {
    return store_.EnsureActive(project, policy_version, now);
  }
  absl::StatusOr<Cycle> Get(const std::string& project, std::int64_t number) override {
    return store_.Get(project, number);
  }
  absl::StatusOr<std::optional<Cycle>> Active(const std::string& project) override {
    return store_.Active(project);
  }
  absl::StatusOr<std::optional<Cycle>> FindByRequest(const std::string& project,
                                                     const std::string& request_id) override {
    return store_.FindByRequest(project, request_id);
  }
  absl::StatusOr<Page<Cycle>> List(const std::string& project, int page_size,
                                   const std::string& page_token) override {
    return store_.List(project, page_size, page_token);
  }
  absl::StatusOr<Cycle> Update(const std::string& project, std::int64_t number,
                               absl::FunctionRef<absl::Status(Cycle&)> change) override {
    if (writes++ == dies_at) {
      return absl::DataLossError("killed");
    }
    if (before_write) {
      std::exchange(before_write, nullptr)();
    }
    return store_.Update(project, number, change);
  }
  absl::StatusOr<std::vector<CycleWork>> ListWork() override { return store_.ListWork(); }
  absl::StatusOr<std::vector<std::pair<std::string, int>>> ListIdleProjects() override {
    return store_.ListIdleProjects();
  }
  absl::StatusOr<std::map<CycleState, std::int64_t>> CountByState() override {
    return store_.CountByState();
  }

 private:
  CycleStore& store_;
};

class CycleDriverTest : public ::testing::Test {
 protected:
  CycleDriverTest() {
    models_.AddModel(1, "champion");
    models_.champion = "projects/x/models/1";
    samples_.counts.labelled = 120;
    Restart();
  }

  // Throws the driver away and builds another over the same store, as after kill -9.
  void Restart() {
    driver_ = std::make_unique<CycleDriver>(
        mortal_, policies_, sketches_, evaluations_,
        CycleDriver::Neighbours{.models = models_, .samples = samples_, .fleet = fleet_}, Parser(),
        clock_, changed_, telemetry_);
  }

  PolicyParser Parser() {
    return [this](const std::string&) -> absl::StatusOr<Policy> { return policy_; };
  }

  Cycle Start() {
    EXPECT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
    const absl::StatusOr<Cycle> cycle = service_.Create(kProject, "ada", "a new sensor", "");
    EXPECT_THAT(cycle, IsOk());
    return *cycle;
  }

  // Advances cycle `number` until it is final and cleaned up, or has to wait.
  Cycle Drive(std::int64_t number) {
    for (int i = 0; i < 200; ++i) {
      const absl::StatusOr<CycleDriver::Progress> progress = driver_->Advance(kProject, number);
      EvaluationWorker worker(evaluation_store_, judge_, clock_, changed_, telemetry_,
                              [] { return true; });
      const absl::StatusOr<bool> worked = worker.RunOne();
      clock_.Advance(absl::Seconds(1));
      if (!progress.ok()) {
        Restart();
      } else if (!progress->changed && !(worked.ok() && *worked)) {
        break;
      }
    }
    return *cycles_.Get(kProject, number);
  }

  std::vector<CycleState> States(const Cycle& cycle) {
    std::vector<CycleState> states;
    for (const Transition& transition : cycle.transitions) {
      states.push_back(transition.to);
    }
    return states;
  }

  const TemporaryFolder folder_;
  const std::unique_ptr<Database> database_ =
      *Database::Open({.connection = "sqlite3://" + (folder_ / "e.db")}, EvaluationMigrations());
  FakeClock clock_;
  ChangeSignal changed_;
  Telemetry telemetry_;
  Policy policy_ = TestPolicy();
  SqlEvaluationStore evaluation_store_{*database_};
  SqlPolicyStore policies_{*database_};
  SqlCycleStore cycles_{*database_};
  SqlSketchStore sketches_{*database_};
  MortalCycleStore mortal_{cycles_};
  testing::FakeRegistry models_;
  testing::FakeArchive samples_;
  testing::FakeFleet fleet_;
  testing::FakeJudge judge_;
  EvaluationService evaluations_{evaluation_store_, clock_, changed_};
  CycleService service_{cycles_, policies_, models_, Parser(), clock_, changed_, telemetry_};
  std::unique_ptr<CycleDriver> driver_;
};

TEST_F(CycleDriverTest, AWholeTurnEndsWithTheCandidateAsChampion) {
  const Cycle cycle = Drive(Start().number);
  EXPECT_THAT(States(cycle), ElementsAre(CycleState::kTriggered, CycleState::kCollecting,
                                         CycleState::kBuilding, CycleState::kEvaluating,
                                         CycleState::kRollingOut, CycleState::kCompleted));
  EXPECT_EQ(cycle.champion_model, "projects/x/models/1");
  EXPECT_EQ(cycle.candidate_model, "projects/x/models/2");
  EXPECT_EQ(models_.champion, "projects/x/models/2");
  EXPECT_EQ(cycle.dataset_version, "projects/x/datasets/all/versions/1");
  EXPECT_EQ(cycle.build, "projects/x/builds/1");
  EXPECT_EQ(cycle.evaluation, "projects/x/evaluations/1");
  EXPECT_EQ(cycle.release, "projects/x/releases/1");
  EXPECT_EQ(cycle.rollout, "projects/x/rollouts/1");
  EXPECT_EQ(cycle.labelled_samples, 120);
  EXPECT_EQ(cycle.wanted_samples, 100);
  EXPECT_FALSE(fleet_.collection.has_value());
  EXPECT_EQ(fleet_.collections_opened, 1);
  ASSERT_EQ(cycle.gate_results.size(), 1U);
  EXPECT_EQ(cycle.gate_results[0].verdict, Verdict::kPass);
  EXPECT_EQ(cycle.transitions[0].author, "ada");
  EXPECT_EQ(cycle.transitions[0].reason, "a new sensor");
  EXPECT_THAT(
      cycle.transitions[4].evidence,
      ::testing::Contains(::testing::Key("gate/source=device: balanced_accuracy superior")));
  EXPECT_GT(cycle.end_time, cycle.create_time);
}

TEST_F(CycleDriverTest, EachStepIsATraceLinkedToTheTriggerAndToTheStepBefore) {
  const SpanCollector spans;
  TraceContext call;
  std::int64_t number = 0;
  {
    const WorkSpan work("CreateCycle", SpanKind::kServer, {}, {});
    call = CurrentCall().trace;
    number = Start().number;
  }
  Restart();
  const Cycle cycle = Drive(number);
  ASSERT_EQ(cycle.state, CycleState::kCompleted);
  // The evidence says in which trace each transition was made.
  std::vector<TraceContext> moves;
  for (const Transition& transition : cycle.transitions) {
    moves.push_back(TraceOf(transition.evidence.at("traceparent")));
  }
  EXPECT_EQ(moves[0], call);
  std::set<std::string> traces;
  for (const SpanData& span : spans.All()) {
    if (span.name.rfind("cycle ", 0) == 0) {
      EXPECT_EQ(span.parent_span_id, "") << span.name;
      EXPECT_TRUE(traces.insert(span.trace.trace_id).second) << span.name;
      ASSERT_FALSE(span.links.empty()) << span.name;
      EXPECT_EQ(span.links[0], call) << span.name;
      EXPECT_EQ(span.links.size(), span.name == "cycle TRIGGERED" ? 1U : 2U) << span.name;
      if (span.links.size() > 1) {
        EXPECT_THAT(moves, ::testing::Contains(span.links[1])) << span.name;
        EXPECT_NE(span.links[1].trace_id, span.trace.trace_id) << span.name;
      }
    }
  }
  EXPECT_GE(traces.size(), 6U);
}

TEST_F(CycleDriverTest, AnEvaluationRunsInTheTraceOfTheStepThatQueuedIt) {
  const SpanCollector spans;
  const Cycle cycle = Drive(Start().number);
  ASSERT_EQ(cycle.state, CycleState::kCompleted);
  const SpanData run = spans.Get("evaluation", SpanKind::kConsumer);
  const std::vector<SpanData> all = spans.All();
  const auto step = std::find_if(all.begin(), all.end(), [&](const SpanData& span) {
    return span.trace.span_id == run.parent_span_id;
  });
  ASSERT_NE(step, all.end());
  EXPECT_EQ(step->name, "cycle EVALUATING");
  EXPECT_EQ(step->trace.trace_id, run.trace.trace_id);
  EXPECT_FALSE(run.failed);
}

TEST_F(CycleDriverTest, AStepThatOnlyWaitsIsNoSpan) {
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  while (driver_->Advance(kProject, 1)->changed) {
  }
  const SpanCollector spans;
  ASSERT_FALSE(driver_->Advance(kProject, 1)->changed);
  EXPECT_TRUE(spans.All().empty());
}

TEST_F(CycleDriverTest, ADriverThatIsKilledAnywhereDoesNothingTwice) {
  const int writes = [&] {
    Drive(Start().number);
    return mortal_.writes;
  }();
  ASSERT_GT(writes, 10);
  EXPECT_EQ(models_.builds.size(), 1U);
  for (int death = 0; death < writes; ++death) {
    SCOPED_TRACE(death);
    models_.champion = "projects/x/models/1";
    const std::size_t builds = models_.builds.size();
    const std::size_t releases = models_.releases.size();
    const std::size_t rollouts = fleet_.rollouts.size();
    const std::size_t promotions = models_.alias_changes.size();
    const int collections = fleet_.collections_opened;
    fleet_.states.assign(rollouts + 1, RolloutStatus::State::kCompleted);
    const std::size_t evaluations = evaluation_store_.List(kProject, 1000, "")->rows.size();
    mortal_.writes = 0;
    mortal_.dies_at = death;
    const Cycle cycle = Drive(Start().number);
    EXPECT_EQ(cycle.state, CycleState::kCompleted);
    EXPECT_EQ(cycle.transitions.size(), 6U);
    EXPECT_EQ(models_.builds.size(), builds + 1);
    EXPECT_EQ(models_.releases.size(), releases + 1);
    EXPECT_EQ(fleet_.rollouts.size(), rollouts + 1);
    EXPECT_EQ(models_.alias_changes.size(), promotions + 1);
    EXPECT_EQ(fleet_.collections_opened, collections + 1);
    EXPECT_FALSE(fleet_.collection.has_value());
    EXPECT_EQ(evaluation_store_.List(kProject, 1000, "")->rows.size(), evaluations + 1);
  }
}

TEST_F(CycleDriverTest, AServiceThatIsAwayIsShownAndTriedAgain) {
  const Cycle started = Start();
  samples_.down = absl::UnavailableError("ingestion: connection refused");
  Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kCollecting);
  EXPECT_THAT(cycle.activity, HasSubstr("connection refused"));
  EXPECT_THAT(cycle.activity, HasSubstr("tries again"));
  samples_.down = absl::OkStatus();
  EXPECT_EQ(Drive(started.number).state, CycleState::kCompleted);
}

TEST_F(CycleDriverTest, PausesGrowWhileAServiceIsAway) {
  Start();
  models_.down = absl::UnavailableError("build: connection refused");
  int calls = 0;
  class Counting final : public Telemetry {
   public:
    explicit Counting(int& count) : count_(count) {}
    void BackgroundError(absl::string_view /*what*/, const absl::Status& /*status*/) override {
      ++count_;
    }

   private:
    int& count_;
  } counting(calls);
  CycleDriver driver(cycles_, policies_, sketches_, evaluations_,
                     {.models = models_, .samples = samples_, .fleet = fleet_}, Parser(), clock_,
                     changed_, counting);
  for (int second = 0; second < 120; ++second) {
    EXPECT_THAT(driver.RunDue(), IsOk());
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_GE(calls, 5);
  EXPECT_LE(calls, 9);  // 1, 2, 4, ... seconds apart, a minute at most.
}

TEST_F(CycleDriverTest, CollectingWaitsForLabelsAndEachClass) {
  policy_.collect->per_class = 30;
  samples_.counts = {.labelled = 120, .by_label = {{"SITTING", 100}, {"WALKING", 20}}};
  const Cycle started = Start();
  Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kCollecting);
  EXPECT_THAT(cycle.activity, HasSubstr("20 of 30 WALKING"));
  EXPECT_TRUE(fleet_.collection.has_value());
  samples_.counts.by_label["WALKING"] = 30;
  EXPECT_EQ(Drive(started.number).state, CycleState::kCompleted);
}

TEST_F(CycleDriverTest, ACollectionThatTakesTooLongFailsAndIsClosed) {
  samples_.counts.labelled = 20;
  const Cycle started = Start();
  EXPECT_EQ(Drive(started.number).state, CycleState::kCollecting);
  clock_.Advance(policy_.collect->timeout);
  const Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kFailed);
  EXPECT_THAT(cycle.transitions.back().reason, HasSubstr("20 of 100 labelled"));
  EXPECT_FALSE(fleet_.collection.has_value());
  EXPECT_FALSE(cycle.clean_up);
}

TEST_F(CycleDriverTest, WithoutCollectItBuildsAtOnce) {
  policy_.collect.reset();
  const Cycle cycle = Drive(Start().number);
  EXPECT_EQ(cycle.state, CycleState::kCompleted);
  EXPECT_EQ(fleet_.collections_opened, 0);
}

TEST_F(CycleDriverTest, AFailedBuildFailsTheCycleWithItsReason) {
  models_.build_state = BuildStatus::State::kFailed;
  const Cycle cycle = Drive(Start().number);
  EXPECT_EQ(cycle.state, CycleState::kFailed);
  EXPECT_THAT(cycle.transitions.back().reason, HasSubstr("ran out of memory"));
}

TEST_F(CycleDriverTest, ACandidateThatIsWorseIsRejectedWithItsNumbers) {
  judge_.right = 3;
  const Cycle cycle = Drive(Start().number);
  EXPECT_EQ(cycle.state, CycleState::kRejected);
  EXPECT_THAT(cycle.transitions.back().reason, HasSubstr("0.3000 against 0.4000"));
  EXPECT_EQ(models_.champion, "projects/x/models/1");
  EXPECT_TRUE(fleet_.rollouts.empty());
}

TEST_F(CycleDriverTest, AnInconclusiveGateAsksAPersonOrRejects) {
  judge_.right = judge_.baseline_right;
  const Cycle started = Start();
  Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kAwaitingApproval);
  ASSERT_THAT(service_.Approve(kProject, cycle.number, "ada", "looks fine"), IsOk());
  cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kCompleted);
  EXPECT_EQ(cycle.transitions[4].reason.substr(0, 20), "The gate is inconclu");
  EXPECT_EQ(cycle.transitions[5].reason, "Approved: looks fine");
  EXPECT_EQ(cycle.transitions[5].author, "ada");

  policy_.on_inconclusive = OnInconclusive::kReject;
  EXPECT_EQ(Drive(Start().number).state, CycleState::kRejected);
}

TEST_F(CycleDriverTest, APolicyMayWantApprovalOfAPassedGate) {
  policy_.rollout.approval_required = true;
  const Cycle cycle = Drive(Start().number);
  EXPECT_EQ(cycle.state, CycleState::kAwaitingApproval);
  EXPECT_THAT(cycle.transitions.back().reason, HasSubstr("The gate passed"));
}

TEST_F(CycleDriverTest, AReleaseWithoutSignaturesIsWaitedFor) {
  models_.sign_at_once = false;
  const Cycle started = Start();
  Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kRollingOut);
  EXPECT_THAT(cycle.activity, HasSubstr("Waits for signatures on projects/x/releases/1"));
  models_.sign_at_once = true;
  EXPECT_EQ(Drive(started.number).state, CycleState::kCompleted);
}

TEST_F(CycleDriverTest, AnotherRolloutIsWaitedFor) {
  fleet_.another_rollout = "projects/x/rollouts/9";
  const Cycle started = Start();
  Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kRollingOut);
  EXPECT_THAT(cycle.activity, HasSubstr("projects/x/rollouts/9 is not done"));
  fleet_.another_rollout.clear();
  EXPECT_EQ(Drive(started.number).state, CycleState::kCompleted);
}

TEST_F(CycleDriverTest, AFailedRolloutGivesTheDevicesTheChampionAgain) {
  fleet_.states = {RolloutStatus::State::kFailed, RolloutStatus::State::kCompleted};
  const Cycle cycle = Drive(Start().number);
  EXPECT_EQ(cycle.state, CycleState::kRolledBack);
  EXPECT_THAT(models_.releases, ElementsAre("projects/x/models/2", "projects/x/models/1"));
  EXPECT_THAT(fleet_.rollouts, ElementsAre("projects/x/releases/1", "projects/x/releases/2"));
  ASSERT_EQ(fleet_.plans[1].stages.size(), 1U);
  EXPECT_EQ(fleet_.plans[1].failure_percent, 100);
  EXPECT_EQ(models_.champion, "projects/x/models/1");
  EXPECT_TRUE(models_.alias_changes.empty());
  EXPECT_EQ(cycle.transitions.back().evidence.at("failed_rollout"), "projects/x/rollouts/1");
}

TEST_F(CycleDriverTest, ARollbackThatIsKilledAnywhereIsDoneOnce) {
  for (int death = 0; death < 25; ++death) {
    SCOPED_TRACE(death);
    const std::size_t rollouts = fleet_.rollouts.size();
    const std::size_t releases = models_.releases.size();
    fleet_.states.assign(rollouts + 2, RolloutStatus::State::kCompleted);
    fleet_.states[rollouts] = RolloutStatus::State::kFailed;
    mortal_.writes = 0;
    mortal_.dies_at = death;
    EXPECT_EQ(Drive(Start().number).state, CycleState::kRolledBack);
    EXPECT_EQ(fleet_.rollouts.size(), rollouts + 2);
    EXPECT_EQ(models_.releases.size(), releases + 2);
  }
}

TEST_F(CycleDriverTest, CancellingWhileCollectingTellsDevicesToStop) {
  samples_.counts.labelled = 0;
  const Cycle started = Start();
  Drive(started.number);
  ASSERT_TRUE(fleet_.collection.has_value());
  ASSERT_THAT(service_.Cancel(kProject, started.number, "ada", "wrong season"), IsOk());
  fleet_.down = absl::UnavailableError("distribution: connection refused");
  EXPECT_TRUE(Drive(started.number).clean_up);
  fleet_.down = absl::OkStatus();
  const Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kCancelled);
  EXPECT_FALSE(cycle.clean_up);
  EXPECT_FALSE(fleet_.collection.has_value());
}

TEST_F(CycleDriverTest, CancellingLeavesACollectionThatIsSomebodyElses) {
  samples_.counts.labelled = 0;
  const Cycle started = Start();
  Drive(started.number);
  fleet_.collection->samples_per_period = 77;
  const Collection other = *fleet_.collection;
  ASSERT_THAT(service_.Cancel(kProject, started.number, "ada", "wrong season"), IsOk());
  Drive(started.number);
  EXPECT_EQ(fleet_.collection, other);
}

TEST_F(CycleDriverTest, CancellingABuildAndARolloutEndsThem) {
  models_.build_state = BuildStatus::State::kRunning;
  Cycle started = Start();
  EXPECT_THAT(Drive(started.number).activity, HasSubstr("epoch 3 of 60"));
  ASSERT_THAT(service_.Cancel(kProject, started.number, "ada", "no"), IsOk());
  Drive(started.number);
  EXPECT_THAT(models_.cancelled_builds, ElementsAre("projects/x/builds/1"));

  models_.build_state = BuildStatus::State::kSucceeded;
  fleet_.states = {RolloutStatus::State::kRunning};
  started = Start();
  EXPECT_THAT(Drive(started.number).activity, HasSubstr("21 of 24 devices confirmed"));
  ASSERT_THAT(service_.Cancel(kProject, started.number, "ada", "no"), IsOk());
  Drive(started.number);
  EXPECT_THAT(fleet_.cancelled_rollouts, ElementsAre("projects/x/rollouts/1"));
}

TEST_F(CycleDriverTest, ARolloutThatStartedAsItsCycleWasCancelledIsFoundAndEnded) {
  fleet_.states = {RolloutStatus::State::kRunning};
  const Cycle started = Start();
  Cycle cycle = *cycles_.Get(kProject, started.number);
  while (!cycle.rollout_noted) {
    Drive(started.number);
    cycle = *cycles_.Get(kProject, started.number);
    ASSERT_FALSE(IsFinal(cycle.state));
  }
  // As if the driver was killed right after CreateRollout: its name is lost.
  ASSERT_THAT(cycles_.Update(kProject, started.number,
                             [](Cycle& c) {
                               c.rollout.clear();
                               return absl::OkStatus();
                             }),
              IsOk());
  ASSERT_THAT(service_.Cancel(kProject, started.number, "ada", "no"), IsOk());
  cycle = Drive(started.number);
  EXPECT_FALSE(cycle.clean_up);
  EXPECT_EQ(fleet_.rollouts.size(), 1U);
  EXPECT_THAT(fleet_.cancelled_rollouts, ElementsAre("projects/x/rollouts/1"));
}

TEST_F(CycleDriverTest, WhatAPersonDidMeanwhileStands) {
  models_.build_state = BuildStatus::State::kRunning;
  const Cycle started = Start();
  Drive(started.number);
  models_.build_state = BuildStatus::State::kSucceeded;
  mortal_.before_write = [&] {
    EXPECT_THAT(service_.Cancel(kProject, started.number, "ada", "no"), IsOk());
  };
  const Cycle cycle = Drive(started.number);
  EXPECT_EQ(cycle.state, CycleState::kCancelled);
  EXPECT_EQ(cycle.candidate_model, "");
  EXPECT_THAT(models_.cancelled_builds, ElementsAre("projects/x/builds/1"));
}

TEST_F(CycleDriverTest, ARolloutThatAPersonCancelledEndsTheCycle) {
  fleet_.states = {RolloutStatus::State::kCancelled};
  const Cycle cycle = Drive(Start().number);
  EXPECT_EQ(cycle.state, CycleState::kCancelled);
  EXPECT_EQ(models_.champion, "projects/x/models/1");
}

TEST_F(CycleDriverTest, AFreshCycleObservesOnceTheLastOneHasEnded) {
  Drive(Start().number);
  ASSERT_THAT(driver_->RunDue(), IsOk());
  const absl::StatusOr<std::optional<Cycle>> active = cycles_.Active(kProject);
  ASSERT_THAT(active, IsOk());
  ASSERT_TRUE(active->has_value());
  EXPECT_EQ((*active)->number, 2);
  EXPECT_EQ((*active)->state, CycleState::kObserving);
}

TEST_F(CycleDriverTest, SettingAPolicyStartsObserving) {
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  ASSERT_THAT(driver_->RunDue(), IsOk());
  const Cycle cycle = *cycles_.Get(kProject, 1);
  EXPECT_EQ(cycle.state, CycleState::kObserving);
  EXPECT_THAT(cycle.activity, HasSubstr("drift (no look yet)"));
}

TEST_F(CycleDriverTest, DriftOfTheChampionTriggersOnceWithItsNumbers) {
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  DriftReport report;
  report.project = kProject;
  report.model_digest = "champion";
  report.verdict = DriftVerdict::kDrift;
  report.look = 1;
  report.statistic = 7.5;
  report.limit = 2.5;
  report.explanation = "The fleet as a whole has moved.";
  report.channels = {{.channel = "novelty", .p_value = 1e-8}};
  report.create_time = clock_.Now();
  ASSERT_THAT(sketches_.SaveLook(report, {}), IsOk());
  // The driver may come to it when the next look found nothing.
  report.verdict = DriftVerdict::kSteady;
  report.look = 2;
  ASSERT_THAT(sketches_.SaveLook(report, {}), IsOk());

  const Cycle cycle = Drive(1);
  EXPECT_EQ(cycle.state, CycleState::kCompleted);
  EXPECT_EQ(cycle.drift_report, "projects/x/driftReports/1");
  EXPECT_EQ(cycle.transitions[0].author, "services/evaluation");
  EXPECT_EQ(cycle.transitions[0].reason, "The fleet as a whole has moved.");
  EXPECT_EQ(cycle.transitions[0].evidence.at("statistic"), "7.500");
  EXPECT_EQ(cycle.transitions[0].evidence.at("limit"), "2.500");
  EXPECT_TRUE(ParseTraceparent(cycle.transitions[0].evidence.at("traceparent")).has_value());

  ASSERT_THAT(driver_->RunDue(), IsOk());
  EXPECT_EQ(Drive(2).state, CycleState::kObserving);
}

TEST_F(CycleDriverTest, DriftOfAnotherModelDoesNotTrigger) {
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  DriftReport report;
  report.project = kProject;
  report.model_digest = "an older one";
  report.verdict = DriftVerdict::kDrift;
  report.look = 1;
  report.create_time = clock_.Now();
  ASSERT_THAT(sketches_.SaveLook(report, {}), IsOk());
  EXPECT_EQ(Drive(1).state, CycleState::kObserving);
}

TEST_F(CycleDriverTest, NewLabelsAndTheCalendarTrigger) {
  policy_.trigger = {};
  policy_.trigger.labelled_samples = 200;
  policy_.trigger.every = absl::Hours(24);
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  Cycle cycle = Drive(1);
  EXPECT_EQ(cycle.state, CycleState::kObserving);
  EXPECT_THAT(cycle.activity, HasSubstr("120 of 200"));
  samples_.counts.labelled = 200;
  EXPECT_EQ(Drive(1).transitions[0].reason, "200 new labelled samples, want 200");

  samples_.counts.labelled = 120;
  fleet_.states.assign(3, RolloutStatus::State::kCompleted);
  ASSERT_THAT(driver_->RunDue(), IsOk());
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(Drive(2).transitions[0].reason, "Scheduled every 24h");
}

TEST_F(CycleDriverTest, WithoutAChampionNothingTriggers) {
  models_.champion.clear();
  policy_.trigger.labelled_samples = 1;
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  const Cycle cycle = Drive(1);
  EXPECT_EQ(cycle.state, CycleState::kObserving);
  EXPECT_THAT(cycle.activity, HasSubstr("alias champion"));
}

TEST_F(CycleDriverTest, CreateSaysWhyItCannot) {
  EXPECT_EQ(ReasonOf(service_.Create(kProject, "ada", "go", "").status()), "POLICY_MISSING");
  ASSERT_THAT(service_.SetPolicy(kProject, "policy"), IsOk());
  models_.champion.clear();
  EXPECT_EQ(ReasonOf(service_.Create(kProject, "ada", "go", "").status()), "CHAMPION_MISSING");
  models_.champion = "projects/x/models/1";
  const absl::StatusOr<Cycle> first = service_.Create(kProject, "ada", "go", "r1");
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(ReasonOf(service_.Create(kProject, "ada", "go", "r2").status()), "CYCLE_ACTIVE");
  const absl::StatusOr<Cycle> repeat = service_.Create(kProject, "ada", "go", "r1");
  ASSERT_THAT(repeat, IsOk());
  EXPECT_EQ(repeat->number, first->number);
}

TEST_F(CycleDriverTest, ApproveAndCancelSayWhyTheyCannot) {
  const Cycle cycle = Start();
  EXPECT_EQ(ReasonOf(service_.Approve(kProject, cycle.number, "ada", "").status()),
            "CYCLE_NOT_WAITING");
  ASSERT_THAT(service_.Cancel(kProject, cycle.number, "ada", "no"), IsOk());
  EXPECT_EQ(ReasonOf(service_.Cancel(kProject, cycle.number, "ada", "no").status()), "CYCLE_DONE");
}

TEST_F(CycleDriverTest, ARunningCycleGoesOnWithThePolicyThatItBeganWith) {
  samples_.counts.labelled = 0;
  const Cycle started = Start();
  Drive(started.number);
  ASSERT_THAT(service_.SetPolicy(kProject, "another"), IsOk());
  EXPECT_EQ(Drive(started.number).policy_version, 1);
}

TEST_F(CycleDriverTest, AnEvaluationThatFailsForNowStaysInTheQueue) {
  Evaluation wanted;
  wanted.project = kProject;
  wanted.model = "projects/x/models/1";
  wanted.dataset_version = "projects/x/datasets/all/versions/1";
  ASSERT_THAT(evaluations_.Create(wanted, ""), IsOk());
  EvaluationWorker worker(evaluation_store_, judge_, clock_, changed_, telemetry_,
                          [] { return true; });
  judge_.fails = absl::UnavailableError("ingestion: connection refused");
  EXPECT_THAT(worker.RunOne(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(evaluations_.Get(kProject, 1)->error, HasSubstr("tries again"));
  judge_.fails = absl::InvalidArgumentError("models/1: no such axis");
  ASSERT_THAT(worker.RunOne(), IsOk());
  const Evaluation failed = *evaluations_.Get(kProject, 1);
  EXPECT_EQ(failed.state, EvaluationState::kFailed);
  EXPECT_EQ(failed.error, "models/1: no such axis");
  EXPECT_FALSE(*worker.RunOne());
}

TEST_F(CycleDriverTest, AnEvaluationWithoutItsLeaseIsLeftToTheNextHolder) {
  Evaluation wanted;
  wanted.project = kProject;
  wanted.model = "projects/x/models/1";
  wanted.dataset_version = "projects/x/datasets/all/versions/1";
  ASSERT_THAT(evaluations_.Create(wanted, ""), IsOk());
  EvaluationWorker loser(evaluation_store_, judge_, clock_, changed_, telemetry_,
                         [] { return false; });
  EXPECT_THAT(loser.RunOne(), StatusIs(absl::StatusCode::kAborted));
  EvaluationWorker holder(evaluation_store_, judge_, clock_, changed_, telemetry_,
                          [] { return true; });
  ASSERT_TRUE(*holder.RunOne());
  const Evaluation done = *evaluations_.Get(kProject, 1);
  EXPECT_EQ(done.state, EvaluationState::kSucceeded);
  EXPECT_EQ(done.slices[1].slice, "source=device");
}

TEST_F(CycleDriverTest, EvaluationsAreCheckedBeforeTheyAreQueued) {
  Evaluation wanted;
  wanted.project = kProject;
  wanted.model = "projects/y/models/1";
  wanted.dataset_version = "projects/x/datasets/all/versions/1";
  EXPECT_THAT(evaluations_.Create(wanted, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  wanted.model = "projects/x/models/1";
  wanted.slice_keys = {"source"};
  EXPECT_THAT(evaluations_.Create(wanted, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  wanted.slice_keys = {"hand"};
  EXPECT_THAT(evaluations_.Create(wanted, ""), IsOk());
}

}  // namespace
}  // namespace fieldloop::evaluation
