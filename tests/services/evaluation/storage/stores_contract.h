// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_EVALUATION_STORAGE_STORES_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_EVALUATION_STORAGE_STORES_CONTRACT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/evaluation/domain/stores.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::evaluation {

// What every set of stores must do. A new backend is ready when this suite, instantiated with it,
// passes.
struct Stores {
  virtual ~Stores() = default;
  virtual EvaluationStore& evaluations() = 0;
  virtual PolicyStore& policies() = 0;
  virtual CycleStore& cycles() = 0;
  virtual SketchStore& sketches() = 0;
};

struct StoresUnderTest {
  std::string name;
  std::function<std::unique_ptr<Stores>()> make;  // Each call gives empty stores.

  friend void PrintTo(const StoresUnderTest& stores, std::ostream* os) { *os << stores.name; }
};

class StoresContract : public ::testing::TestWithParam<StoresUnderTest> {
 protected:
  static absl::Time At(int second) { return absl::FromUnixSeconds(1'700'000'000 + second); }

  static Evaluation NewEvaluation(const std::string& project, int second) {
    Evaluation evaluation;
    evaluation.project = project;
    evaluation.model = project + "/models/2";
    evaluation.dataset_version = project + "/datasets/all/versions/1";
    evaluation.slice_keys = {"hand", "site"};
    evaluation.create_time = At(second);
    evaluation.end_time = absl::UnixEpoch();
    return evaluation;
  }

  static Sketch NewSketch(const std::string& device, std::uint64_t sequence,
                          const std::string& digest = "aa") {
    Sketch sketch;
    sketch.device = "projects/x/devices/" + device;
    sketch.sequence = sequence;
    sketch.model_digest = digest;
    sketch.reference_id = 4000000000U;
    sketch.start_time = At(static_cast<int>(300 * sequence));
    sketch.period_ms = 300'000;
    sketch.windows = 300;
    sketch.failures = 1;
    sketch.class_counts = {100, 200};
    sketch.channels = {{.bins = {static_cast<std::int64_t>(sequence), 300},
                        .mean = 0.1,
                        .m2 = 1e-9,
                        .min = -2.5,
                        .max = static_cast<double>(0.7f)}};
    return sketch;
  }

  void Record(const std::string& device, std::uint64_t first, std::uint64_t last,
              const std::string& digest = "aa") {
    for (std::uint64_t sequence = first; sequence <= last; ++sequence) {
      const absl::StatusOr<bool> is_new =
          stores_->sketches().Record(NewSketch(device, sequence, digest), At(0));
      ASSERT_THAT(is_new, ::fieldloop::testing::IsOk());
      ASSERT_TRUE(*is_new);
    }
  }

  void EndCycle() {
    const Cycle cycle = *stores_->cycles().EnsureActive("projects/x", 1, At(1));
    ASSERT_THAT(stores_->cycles().Update("projects/x", cycle.number,
                                         [](Cycle& c) {
                                           Move(c, CycleState::kFailed, "a", "b", {}, At(2));
                                           return absl::OkStatus();
                                         }),
                ::fieldloop::testing::IsOk());
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
};

TEST_P(StoresContract, EvaluationsAreNumberedWithinTheirProject) {
  EXPECT_EQ(stores_->evaluations().Insert(NewEvaluation("projects/x", 1), "")->number, 1);
  EXPECT_EQ(stores_->evaluations().Insert(NewEvaluation("projects/x", 2), "")->number, 2);
  EXPECT_EQ(stores_->evaluations().Insert(NewEvaluation("projects/y", 3), "")->number, 1);
  const absl::StatusOr<Evaluation> got = stores_->evaluations().Get("projects/x", 2);
  ASSERT_THAT(got, ::fieldloop::testing::IsOk());
  EXPECT_EQ(got->create_time, At(2));
  EXPECT_EQ(got->slice_keys, (std::vector<std::string>{"hand", "site"}));
  EXPECT_THAT(stores_->evaluations().Get("projects/x", 3),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(StoresContract, ARepeatedRequestReturnsTheFirstEvaluation) {
  EXPECT_EQ(stores_->evaluations().Insert(NewEvaluation("projects/x", 1), "r")->number, 1);
  EXPECT_EQ(stores_->evaluations().Insert(NewEvaluation("projects/x", 2), "r")->number, 1);
  EXPECT_EQ(stores_->evaluations().Insert(NewEvaluation("projects/y", 2), "r")->number, 1);
  EXPECT_EQ(stores_->evaluations().List("projects/x", 10, "")->rows.size(), 1U);
}

TEST_P(StoresContract, AnEvaluationKeepsItsResults) {
  Evaluation wanted = NewEvaluation("projects/x", 1);
  wanted.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  Evaluation evaluation = *stores_->evaluations().Insert(wanted, "");
  SliceResult slice;
  slice.slice = "source=device";
  slice.windows = 7;
  slice.metrics = {{.name = "accuracy", .value = 0.1, .low = 0.05, .high = 0.15}};
  slice.baseline_metrics = slice.metrics;
  slice.confusion = {{.label = "A \"quoted\" label", .predicted = {3, 4}}};
  slice.only_model_right = 5;
  slice.only_baseline_right = 6;
  slice.mcnemar_mid_p = 1.0 / 3;
  slice.difference = {.name = "balanced_accuracy", .value = -0.1, .low = -0.2, .high = 0.3};
  slice.groups.resize(1);
  slice.groups[0].name = "device";
  slice.groups[0].samples = 2;
  slice.groups[0].classes["SITTING"] = {.windows = 7, .model_right = 5, .baseline_right = 6};
  evaluation.slices = {slice};
  evaluation.state = EvaluationState::kSucceeded;
  evaluation.progress = 1;
  evaluation.error = "none";
  evaluation.end_time = At(9);
  ASSERT_THAT(stores_->evaluations().Save(evaluation), ::fieldloop::testing::IsOk());
  const Evaluation got = *stores_->evaluations().Get("projects/x", 1);
  EXPECT_EQ(got.state, EvaluationState::kSucceeded);
  EXPECT_EQ(got.end_time, At(9));
  EXPECT_EQ(got.traceparent, wanted.traceparent);
  EXPECT_EQ(stores_->evaluations().List("projects/x", 1, "")->rows[0].traceparent,
            wanted.traceparent);
  ASSERT_EQ(got.slices.size(), 1U);
  EXPECT_EQ(got.slices[0].mcnemar_mid_p, 1.0 / 3);
  EXPECT_EQ(got.slices[0].confusion[0].label, "A \"quoted\" label");
  EXPECT_EQ(got.slices[0].confusion[0].predicted, (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(got.slices[0].difference.low, -0.2);
  EXPECT_EQ(got.slices[0].groups[0].classes.at("SITTING").model_right, 5);
  EXPECT_EQ(got.slices[0].baseline_metrics[0].high, 0.15);
}

TEST_P(StoresContract, UnfinishedEvaluationsComeOldestFirst) {
  EXPECT_FALSE(stores_->evaluations().NextUnfinished()->has_value());
  Evaluation first = *stores_->evaluations().Insert(NewEvaluation("projects/y", 1), "");
  ASSERT_THAT(stores_->evaluations().Insert(NewEvaluation("projects/x", 2), ""),
              ::fieldloop::testing::IsOk());
  first.state = EvaluationState::kRunning;  // Of a process that was killed.
  ASSERT_THAT(stores_->evaluations().Save(first), ::fieldloop::testing::IsOk());
  EXPECT_EQ((*stores_->evaluations().NextUnfinished())->project, "projects/y");
  first.state = EvaluationState::kFailed;
  ASSERT_THAT(stores_->evaluations().Save(first), ::fieldloop::testing::IsOk());
  EXPECT_EQ((*stores_->evaluations().NextUnfinished())->project, "projects/x");
  EXPECT_EQ(stores_->evaluations().CountByState()->at(EvaluationState::kFailed), 1);
}

TEST_P(StoresContract, ARowInsertedBetweenTwoPagesRepeatsNone) {
  for (int i = 1; i <= 4; ++i) {
    ASSERT_THAT(stores_->evaluations().Insert(NewEvaluation("projects/x", i), ""),
                ::fieldloop::testing::IsOk());
  }
  const Page<Evaluation> first = *stores_->evaluations().List("projects/x", 2, "");
  ASSERT_THAT(stores_->evaluations().Insert(NewEvaluation("projects/x", 9), ""),
              ::fieldloop::testing::IsOk());
  const Page<Evaluation> second =
      *stores_->evaluations().List("projects/x", 2, first.next_page_token);
  ASSERT_EQ(second.rows.size(), 2U);
  EXPECT_EQ(first.rows[1].number, 3);
  EXPECT_EQ(second.rows[0].number, 2);
  EXPECT_EQ(second.next_page_token, "");
  EXPECT_THAT(stores_->evaluations().List("projects/x", 2, "x"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(StoresContract, PoliciesKeepTheirVersions) {
  EXPECT_THAT(stores_->policies().Get("projects/x", 0),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(stores_->policies().Put("projects/x", "one", At(1))->version, 1);
  EXPECT_EQ(stores_->policies().Put("projects/x", "two", At(2))->version, 2);
  EXPECT_EQ(stores_->policies().Get("projects/x", 0)->yaml, "two");
  EXPECT_EQ(stores_->policies().Get("projects/x", 1)->yaml, "one");
  EXPECT_EQ(stores_->policies().Get("projects/x", 0)->update_time, At(2));
  EXPECT_THAT(stores_->policies().Get("projects/x", 3),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(StoresContract, AProjectHasOneActiveCycle) {
  const Cycle first = *stores_->cycles().EnsureActive("projects/x", 1, At(1));
  EXPECT_EQ(stores_->cycles().EnsureActive("projects/x", 2, At(2))->number, first.number);
  EXPECT_EQ(first.state, CycleState::kObserving);
  EndCycle();
  EXPECT_FALSE(stores_->cycles().Active("projects/x")->has_value());
  EXPECT_EQ(stores_->cycles().EnsureActive("projects/x", 2, At(3))->number, 2);
  EXPECT_EQ(stores_->cycles().CountByState()->at(CycleState::kFailed), 1);
}

TEST_P(StoresContract, ACycleKeepsAllOfItself) {
  const Cycle made = *stores_->cycles().EnsureActive("projects/x", 1, At(1));
  Cycle want = made;
  want.activity = "Builds";
  want.champion_model = "m1";
  want.drift_report = "d";
  want.dataset_version = "v";
  want.build = "b";
  want.candidate_model = "m2";
  want.evaluation = "e";
  want.gate_results = {{.rule = "r", .verdict = Verdict::kInconclusive, .explanation = "x"}};
  want.release = "rel";
  want.rollout = "rol";
  want.policy_version = 3;
  want.labelled_samples = 10;
  want.wanted_samples = 20;
  want.request_id = "req";
  want.collection_open = true;
  want.collection_asked = true;
  want.release_signed = true;
  want.rollout_noted = true;
  want.rollout_outcome = RolloutOutcome::kFailed;
  want.rollback_release = "rr";
  want.rollback_signed = true;
  want.rollback_rollout = "rb";
  Move(want, CycleState::kRollingOut, "ada", "why", {{"limit", "2.5"}}, At(4));
  want.activity = "Rolls out";
  const absl::StatusOr<Cycle> stored = stores_->cycles().Update("projects/x", 1, [&](Cycle& cycle) {
    cycle = want;
    return absl::OkStatus();
  });
  ASSERT_THAT(stored, ::fieldloop::testing::IsOk());
  want.revision = made.revision + 1;
  EXPECT_EQ(*stored, want);
  EXPECT_EQ(*stores_->cycles().Get("projects/x", 1), want);
  EXPECT_EQ((*stores_->cycles().FindByRequest("projects/x", "req"))->number, 1);
  EXPECT_FALSE(stores_->cycles().FindByRequest("projects/y", "req")->has_value());
}

TEST_P(StoresContract, AChangeOfACycleThatFailsWritesNothing) {
  const Cycle made = *stores_->cycles().EnsureActive("projects/x", 1, At(1));
  EXPECT_THAT(stores_->cycles().Update("projects/x", 1,
                                       [](Cycle& cycle) {
                                         Move(cycle, CycleState::kTriggered, "a", "b", {}, At(2));
                                         return absl::CancelledError("no");
                                       }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(*stores_->cycles().Get("projects/x", 1), made);
}

TEST_P(StoresContract, WorkIsWhatIsNotFinalOrHasToBeCleanedUp) {
  ASSERT_THAT(stores_->policies().Put("projects/x", "p", At(1)), ::fieldloop::testing::IsOk());
  EXPECT_EQ(stores_->cycles().ListIdleProjects()->size(), 1U);
  const Cycle cycle = *stores_->cycles().EnsureActive("projects/x", 1, At(1));
  EXPECT_TRUE(stores_->cycles().ListIdleProjects()->empty());
  EXPECT_EQ(stores_->cycles().ListWork()->size(), 1U);
  const auto set = [&](bool clean_up) {
    ASSERT_THAT(stores_->cycles().Update("projects/x", cycle.number,
                                         [clean_up](Cycle& c) {
                                           if (!IsFinal(c.state)) {
                                             Move(c, CycleState::kCancelled, "a", "b", {}, At(2));
                                           }
                                           c.clean_up = clean_up;
                                           return absl::OkStatus();
                                         }),
                ::fieldloop::testing::IsOk());
  };
  set(true);
  ASSERT_EQ(stores_->cycles().ListWork()->size(), 1U);
  EXPECT_EQ(stores_->cycles().ListWork()->front().state, CycleState::kCancelled);
  set(false);
  EXPECT_TRUE(stores_->cycles().ListWork()->empty());
  EXPECT_EQ(stores_->cycles().ListIdleProjects()->front().second, 1);
}

TEST_P(StoresContract, ASketchIsCountedOnce) {
  EXPECT_TRUE(*stores_->sketches().Record(NewSketch("d", 1), At(0)));
  EXPECT_FALSE(*stores_->sketches().Record(NewSketch("d", 1), At(0)));
  EXPECT_TRUE(*stores_->sketches().Record(NewSketch("e", 1), At(0)));
  EXPECT_EQ(*stores_->sketches().CountSketches(), 2);
  EXPECT_EQ(stores_->sketches().ListProgress("projects/x", "aa")->at(0).periods, 1);
}

TEST_P(StoresContract, ASketchComesBackToTheBit) {
  const Sketch sketch = NewSketch("d", 3);
  ASSERT_THAT(stores_->sketches().Record(sketch, At(0)), ::fieldloop::testing::IsOk());
  std::vector<Sketch> got;
  ASSERT_THAT(stores_->sketches().ForEach("projects/x", At(0),
                                          [&](const Sketch& s) {
                                            got.push_back(s);
                                            return true;
                                          }),
              ::fieldloop::testing::IsOk());
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0], sketch);
}

TEST_P(StoresContract, SketchesComeByStartUntilTheReaderHasEnough) {
  Record("d", 1, 5);
  std::vector<std::uint64_t> got;
  ASSERT_THAT(stores_->sketches().ForEach("projects/x", At(600),
                                          [&](const Sketch& s) {
                                            got.push_back(s.sequence);
                                            return got.size() < 3;
                                          }),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(got, (std::vector<std::uint64_t>{2, 3, 4}));
}

TEST_P(StoresContract, BaselineAndRecentPeriodsAreTheFirstAndTheNewestOfARun) {
  Record("d", 11, 20);
  Record("e", 11, 13);
  const std::vector<DeviceProgress> progress =
      *stores_->sketches().ListProgress("projects/x", "aa");
  ASSERT_EQ(progress.size(), 2U);
  EXPECT_EQ(progress[0].device, "projects/x/devices/d");
  EXPECT_EQ(progress[0].periods, 10);
  const std::vector<DevicePeriods> loaded =
      *stores_->sketches().LoadPeriods("projects/x", "aa", progress, 3, 2);
  ASSERT_EQ(loaded.size(), 1U);  // The other has too few.
  ASSERT_EQ(loaded[0].baseline.size(), 3U);
  ASSERT_EQ(loaded[0].recent.size(), 2U);
  EXPECT_EQ(loaded[0].baseline[0].channels[0], (Histogram{11, 300}));
  EXPECT_EQ(loaded[0].baseline[2].channels[0], (Histogram{13, 300}));
  EXPECT_EQ(loaded[0].recent[1].channels[0], (Histogram{20, 300}));
  EXPECT_EQ(loaded[0].recent[1].period_ms, 300'000);
}

TEST_P(StoresContract, AnotherModelStartsANewRun) {
  Record("d", 1, 5, "aa");
  Record("d", 6, 7, "bb");
  EXPECT_TRUE(stores_->sketches().ListProgress("projects/x", "aa")->empty());
  EXPECT_EQ(stores_->sketches().ListProgress("projects/x", "bb")->at(0).periods, 2);
  // Back again: learnt anew.
  Record("d", 8, 8, "aa");
  EXPECT_EQ(stores_->sketches().ListProgress("projects/x", "aa")->at(0).periods, 1);
}

TEST_P(StoresContract, ALateSketchOfTheModelBeforeChangesNoRun) {
  Record("d", 1, 2, "aa");
  Record("d", 4, 5, "bb");
  Record("d", 3, 3, "aa");
  EXPECT_EQ(stores_->sketches().ListProgress("projects/x", "bb")->at(0).periods, 2);
}

TEST_P(StoresContract, ASketchWithoutWindowsIsNoPeriod) {
  Sketch empty = NewSketch("d", 1);
  empty.windows = 0;
  ASSERT_THAT(stores_->sketches().Record(empty, At(0)), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(stores_->sketches().ListProgress("projects/x", "aa")->empty());
}

TEST_P(StoresContract, BaselinesAreLearntAnewAfterACycle) {
  Record("d", 1, 5);
  DriftReport look;
  look.project = "projects/x";
  look.model_digest = "aa";
  look.look = 1;
  ASSERT_THAT(stores_->sketches().SaveLook(look, {}), ::fieldloop::testing::IsOk());
  EXPECT_EQ(*stores_->sketches().LastLook("projects/x", "aa"), 1);
  EndCycle();
  EXPECT_TRUE(stores_->sketches().ListProgress("projects/x", "aa")->empty());
  EXPECT_EQ(*stores_->sketches().LastLook("projects/x", "aa"), 0);
  Record("d", 6, 6);
  EXPECT_EQ(stores_->sketches().ListProgress("projects/x", "aa")->at(0).periods, 1);
}

TEST_P(StoresContract, ALookIsMadeOnceAndNotesWhatItSaw) {
  Record("d", 1, 5);
  ASSERT_EQ(stores_->sketches().ListFreshModels()->size(), 1U);
  std::vector<DeviceProgress> seen = *stores_->sketches().ListProgress("projects/x", "aa");
  seen[0].looked_periods = seen[0].periods;
  DriftReport report;
  report.project = "projects/x";
  report.model_digest = "aa";
  report.look = 1;
  report.verdict = DriftVerdict::kSteady;
  report.statistic = 1.25;
  report.limit = 2.5;
  report.channels = {{.channel = "novelty",
                      .mean_shift_bins = -1,
                      .p_value = 1e-200,
                      .median_excess_bins = 2,
                      .drifted_devices = 3,
                      .mean_w1_bins = 4,
                      .psi = 5}};
  report.recent_start_time = At(1);
  report.recent_end_time = At(2);
  report.explanation = "No drift.";
  report.create_time = At(3);
  ASSERT_THAT(stores_->sketches().SaveLook(report, seen), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(stores_->sketches().ListFreshModels()->empty());
  EXPECT_THAT(stores_->sketches().SaveLook(report, seen),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kAlreadyExists));
  const Page<DriftReport> page = *stores_->sketches().ListReports("projects/x", 10, "");
  ASSERT_EQ(page.rows.size(), 1U);
  EXPECT_EQ(page.rows[0].name(), "projects/x/driftReports/1");
  EXPECT_EQ(page.rows[0].channels[0].p_value, 1e-200);
  EXPECT_EQ(page.rows[0].channels[0].median_excess_bins, 2);
  EXPECT_EQ(page.rows[0].recent_end_time, At(2));
  EXPECT_EQ(page.rows[0].verdict, DriftVerdict::kSteady);
}

TEST_P(StoresContract, TheLatestReportIsOfTheModelAndOfTheTimeAskedFor) {
  DriftReport report;
  report.project = "projects/x";
  report.model_digest = "aa";
  for (const auto& [look, verdict] :
       {std::pair(1, DriftVerdict::kSteady), std::pair(2, DriftVerdict::kDrift),
        std::pair(3, DriftVerdict::kSteady)}) {
    report.look = look;
    report.verdict = verdict;
    report.create_time = At(look);
    ASSERT_THAT(stores_->sketches().SaveLook(report, {}), ::fieldloop::testing::IsOk());
  }
  SketchStore& store = stores_->sketches();
  EXPECT_EQ((*store.LatestReport("projects/x", "aa", At(0), false))->look, 3);
  EXPECT_EQ((*store.LatestReport("projects/x", "aa", At(0), true))->look, 2);
  EXPECT_FALSE(store.LatestReport("projects/x", "aa", At(3), true)->has_value());
  EXPECT_FALSE(store.LatestReport("projects/x", "bb", At(0), false)->has_value());
}

TEST_P(StoresContract, TheNewestTestOfEachProjectIsListed) {
  SketchStore& store = stores_->sketches();
  EXPECT_TRUE(store.ListNewestTests()->empty());
  DriftReport report;
  for (const auto& [project, look, verdict] :
       {std::tuple("projects/x", 1, DriftVerdict::kDrift),
        std::tuple("projects/y", 0, DriftVerdict::kLearning),
        std::tuple("projects/a", 1, DriftVerdict::kDrift),
        std::tuple("projects/x", 2, DriftVerdict::kSteady),
        std::tuple("projects/x", 0, DriftVerdict::kLearning)}) {
    report.project = project;
    report.model_digest = "aa";
    report.look = look;
    report.verdict = verdict;
    ASSERT_THAT(store.SaveLook(report, {}), ::fieldloop::testing::IsOk());
  }
  const std::vector<DriftReport> tests = *store.ListNewestTests();
  ASSERT_EQ(tests.size(), 2U);
  EXPECT_EQ(tests[0].name(), "projects/a/driftReports/1");
  EXPECT_EQ(tests[1].name(), "projects/x/driftReports/2");
  EXPECT_EQ(tests[1].look, 2);
  EXPECT_EQ(tests[1].model_digest, "aa");
}

TEST_P(StoresContract, PruningKeepsBaselinesThatStillCount) {
  Record("old", 1, 3, "aa");
  Record("old", 4, 4, "bb");  // The first three are of a run that is over.
  Record("here", 1, 3, "aa");
  EXPECT_EQ(*stores_->sketches().Prune(At(1)), 3);
  EXPECT_EQ(*stores_->sketches().CountSketches(), 4);
}

TEST_P(StoresContract, SketchesFromTwoThreadsAllArrive) {
  const auto record = [this](const std::string& device) {
    for (std::uint64_t i = 1; i <= 25; ++i) {
      EXPECT_THAT(stores_->sketches().Record(NewSketch(device, i), At(0)),
                  ::fieldloop::testing::IsOk());
    }
  };
  std::thread other(record, "a");
  record("b");
  other.join();
  EXPECT_EQ(*stores_->sketches().CountSketches(), 50);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoresContract);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_TESTS_SERVICES_EVALUATION_STORAGE_STORES_CONTRACT_H_
