// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/build_worker.h"

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/domain/build_queue.h"
#include "services/build/domain/impulse_catalog.h"
#include "services/build/domain/worker_pool.h"
#include "services/build/storage/folder_work_area.h"
#include "services/common/blob/blob_store.h"
#include "services/common/status/error_reason.h"
#include "services/common/trace/span.h"
#include "tests/services/build/support/fakes.h"
#include "tests/services/build/support/test_database.h"
#include "tests/services/common/trace/span_collector.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::SpanCollector;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr std::int64_t kMaxQueued = 5;
constexpr char kImpulse[] = "projects/motor/impulses/gait";

Epoch Pass(std::int32_t number, std::optional<double> loss = std::nullopt,
           std::optional<double> accuracy = std::nullopt) {
  Epoch epoch;
  epoch.epoch = number;
  epoch.loss = loss;
  epoch.accuracy = accuracy;
  return epoch;
}

Candidate Tried(const std::string& network, bool chosen) {
  Candidate candidate;
  candidate.network = network;
  candidate.fits = true;
  candidate.chosen = chosen;
  return candidate;
}

class BuildWorkerTest : public ::testing::Test {
 protected:
  BuildWorkerTest() {
    ImpulseCatalog catalog(database_.impulses(), clock_);
    EXPECT_THAT(catalog.Create("projects/motor", "gait", SmallRecipe()), IsOk());
  }

  BuildWorker Worker(const std::string& owner) {
    return BuildWorker({.builds = database_.builds(),
                        .impulses = database_.impulses(),
                        .models = database_.models(),
                        .datasets = datasets_,
                        .trainers = trainers_,
                        .runner = runner_,
                        .checker = checker_,
                        .judge = judge_,
                        .work = *work_,
                        .blobs = *blobs_,
                        .running = running_,
                        .changes = changes_,
                        .observer = observer_,
                        .clock = clock_},
                       owner);
  }

  Build Create(const BuildRequest& request) {
    const absl::StatusOr<Build> build = queue_.Create("projects/motor", request, "");
    EXPECT_THAT(build, IsOk());
    return *build;
  }
  Build Create() {
    return Create({.dataset_version = FakeDatasets::kVersion,
                   .impulse = kImpulse,
                   .seed = 0,
                   .parent_model = "",
                   .trainer = ""});
  }

  Build Get(std::int64_t number) { return *database_.builds().Get("motor", number); }

  // Runs one build that must be there.
  void RunOne() {
    const absl::StatusOr<bool> ran = worker_.RunOne();
    ASSERT_THAT(ran, IsOk());
    EXPECT_TRUE(*ran);
  }

  TestDatabase database_;
  ::fieldloop::testing::FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  std::unique_ptr<FolderWorkArea> work_ = *FolderWorkArea::Open(database_.folder() + "/work");
  FakeDatasets datasets_;
  FakeTrainer trainer_;
  FakeTrainer other_trainer_{"other"};
  const TrainerSet trainers_{trainer_, {&other_trainer_}};
  FakeRunner runner_;
  FakeChecker checker_;
  FakeJudge judge_;
  RecordingObserver observer_;
  RunningBuilds running_;
  ChangeSignal changes_;
  BuildQueue queue_{{.builds = database_.builds(),
                     .impulses = database_.impulses(),
                     .models = database_.models(),
                     .datasets = datasets_,
                     .blobs = *blobs_,
                     .trainers = trainers_,
                     .running = running_,
                     .changes = changes_,
                     .observer = observer_,
                     .clock = clock_},
                    kMaxQueued};
  BuildWorker worker_ = Worker("me");
};

TEST_F(BuildWorkerTest, ABuildBecomesAModelWithItsLineage) {
  Create();
  RunOne();
  const Build build = Get(1);
  EXPECT_EQ(build.state, BuildState::kSucceeded) << build.error;
  EXPECT_EQ(build.progress, 1);
  EXPECT_EQ(build.model, 1);
  EXPECT_EQ(build.end_time, clock_.Now());
  const absl::StatusOr<Model> model = database_.models().Get("motor", 1);
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->digest, ToHex(Sha256Of("model bytes")));
  EXPECT_EQ(model->size_bytes, 11);
  EXPECT_EQ(model->arena_bytes, 1234);
  EXPECT_EQ(model->build, 1);
  EXPECT_EQ(model->dataset_version, FakeDatasets::kVersion);
  EXPECT_EQ(model->impulse, "projects/motor/impulses/gait/versions/1");
  EXPECT_THAT(model->classes, ElementsAre("run", "walk"));
  EXPECT_THAT(model->trainer_metrics, ElementsAre(Metric{.name = "loss", .value = 0.5}));
  EXPECT_EQ(model->trainer, build.trainer);
  EXPECT_EQ(*blobs_->Get(model->digest), "model bytes");
  EXPECT_THAT(observer_.done, ElementsAre(BuildState::kSucceeded));
  EXPECT_THAT(*queue_.Log("projects/motor/builds/1"), HasSubstr("trained\n"));
  EXPECT_FALSE(*worker_.RunOne());
}

TEST_F(BuildWorkerTest, ARunGoesOnInTheTraceOfTheCallThatQueuedTheBuild) {
  const SpanCollector spans;
  TraceContext call;
  {
    const WorkSpan work("CreateBuild", SpanKind::kServer, {}, {});
    call = CurrentCall().trace;
    Create();
  }
  std::string of_samples;
  datasets_.before_sample = [&] { of_samples = CurrentTraceparent(); };
  std::string of_trainer;
  trainer_.body = [&](const TrainingJob&, std::stop_token, TrainerListener&) {
    of_trainer = CurrentTraceparent();
    EXPECT_THAT(CurrentCall().fields, ElementsAre(Pair("build", "projects/motor/builds/1"),
                                                  Pair("trainer", kBuiltInTrainer)));
    return absl::AbortedError("no");
  };
  RunOne();
  const SpanData run = spans.Get("build", SpanKind::kConsumer);
  EXPECT_EQ(run.trace.trace_id, call.trace_id);
  EXPECT_EQ(run.parent_span_id, call.span_id);
  EXPECT_TRUE(run.failed);
  EXPECT_EQ(of_samples, FormatTraceparent(run.trace));
  const SpanData trainer = spans.Get("trainer", SpanKind::kInternal);
  EXPECT_EQ(trainer.parent_span_id, run.trace.span_id);
  EXPECT_EQ(of_trainer, FormatTraceparent(trainer.trace));
  EXPECT_TRUE(trainer.failed);
}

TEST_F(BuildWorkerTest, EachAttemptIsASpanOfTheSameTrace) {
  const SpanCollector spans;
  const auto run_twice = [this] {
    RunOne();
    clock_.Advance(absl::Hours(1));
    RunOne();
  };
  Create();  // Outside of a trace.
  datasets_.failure = absl::UnavailableError("away");
  run_twice();
  ASSERT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
  datasets_.failure = absl::OkStatus();
  {
    const WorkSpan work("CreateBuild", SpanKind::kServer, {}, {});
    Create();
  }
  datasets_.failure = absl::UnavailableError("away");
  run_twice();
  std::map<std::string, std::vector<SpanData>> runs;
  for (const SpanData& span : spans.All()) {
    if (span.name == "build") {
      runs[std::get<std::string>(span.attributes[0].second)].push_back(span);
    }
  }
  const std::vector<SpanData>& unknown = runs["projects/motor/builds/1"];
  ASSERT_THAT(unknown, SizeIs(2));
  EXPECT_EQ(unknown[0].parent_span_id, "");
  EXPECT_NE(unknown[0].trace.trace_id, unknown[1].trace.trace_id);
  const std::vector<SpanData>& known = runs["projects/motor/builds/2"];
  ASSERT_THAT(known, SizeIs(2));
  EXPECT_EQ(known[0].trace.trace_id, known[1].trace.trace_id);
  EXPECT_EQ(known[0].parent_span_id, known[1].parent_span_id);
  EXPECT_EQ(std::get<std::int64_t>(known[1].attributes[1].second), 2);
}

TEST_F(BuildWorkerTest, AModelCarriesTheFiguresThatTheServiceItselfFound) {
  datasets_.samples.push_back(SmallSample("d", "run", 2, /*testing=*/true));
  Create();
  RunOne();
  const absl::StatusOr<Model> model = database_.models().Get("motor", 1);
  ASSERT_THAT(model, IsOk());
  // Two windows of "walk" and one of "run", all taken for "run".
  EXPECT_THAT(model->metrics,
              ::testing::IsSupersetOf({Metric{.name = "accuracy", .value = 1.0 / 3},
                                       Metric{.name = "balanced_accuracy", .value = 0.5},
                                       Metric{.name = "recall/run", .value = 1},
                                       Metric{.name = "windows/walk", .value = 2}}));
  EXPECT_EQ(model->cortex_m4_instructions, 5678);
  EXPECT_EQ(model->host_inference_nanos, 90);
}

TEST_F(BuildWorkerTest, AModelThatCannotBeRunFailsItsBuild) {
  judge_.failure = absl::InvalidArgumentError("a device cannot open the model: why");
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kFailed);
  EXPECT_EQ(Get(1).error, "a device cannot open the model: why");
}

TEST_F(BuildWorkerTest, TheTrainerSeesProgressStateAndTheParent) {
  Create();
  RunOne();
  trainer_.body = [this](const TrainingJob& job, std::stop_token, TrainerListener& listener) {
    EXPECT_EQ(job.parent_file, "parent.tflite");
    EXPECT_EQ(job.seed, 7U);
    clock_.Advance(absl::Seconds(1));
    listener.OnActivity("trains the network");
    clock_.Advance(absl::Seconds(1));
    listener.OnCandidate(Tried("dense 8", /*chosen=*/false));
    listener.OnEpoch(Pass(4, 0.5), 10);
    clock_.Advance(absl::Seconds(1));
    listener.OnEpoch(Pass(5, 0.25, 0.75), 10);
    const Build build = Get(2);
    EXPECT_THAT(build.history, ElementsAre(Pass(4, 0.5), Pass(5, 0.25, 0.75)));
    EXPECT_THAT(build.candidates, ElementsAre(Tried("dense 8", /*chosen=*/false)));
    EXPECT_EQ(build.state, BuildState::kTraining);
    EXPECT_EQ(build.activity, "trains the network");
    EXPECT_EQ(build.epoch, 5);
    EXPECT_EQ(build.epochs, 10);
    EXPECT_NEAR(build.progress, 0.55, 1e-9);
    EXPECT_THAT(build.metrics, ElementsAre(Metric{.name = "loss", .value = 0.25},
                                           Metric{.name = "accuracy", .value = 0.75}));
    return absl::StatusOr<TrainedModel>({.file = "child", .metrics = {}});
  };
  Create({.dataset_version = FakeDatasets::kVersion,
          .impulse = kImpulse,
          .seed = 7,
          .parent_model = "projects/motor/models/1",
          .trainer = ""});
  RunOne();
  EXPECT_EQ(Get(2).state, BuildState::kSucceeded) << Get(2).error;
  EXPECT_EQ(database_.models().Get("motor", 2)->parent_model, 1);
}

TEST_F(BuildWorkerTest, TheSameInputsAreNotTrainedAgain) {
  Create();
  RunOne();
  Create();
  RunOne();
  EXPECT_EQ(trainer_.runs, 1);
  const Build build = Get(2);
  EXPECT_EQ(build.state, BuildState::kSucceeded);
  EXPECT_EQ(build.model, 1);
  EXPECT_THAT(build.activity, HasSubstr("cached: projects/motor/builds/1"));
}

TEST_F(BuildWorkerTest, ABuildRunsWithTheTrainerThatItNames) {
  other_trainer_.identity.digest = std::string(64, 'a');
  Create({.dataset_version = FakeDatasets::kVersion,
          .impulse = kImpulse,
          .seed = 0,
          .parent_model = "",
          .trainer = "other"});
  RunOne();
  EXPECT_EQ(trainer_.runs, 0);
  EXPECT_EQ(other_trainer_.runs, 1);
  EXPECT_EQ(Get(1).trainer, "other sha256:" + std::string(64, 'a'));
}

TEST_F(BuildWorkerTest, ATrainerThatIsNotThereIsRefusedByName) {
  const absl::Status status = queue_
                                  .Create("projects/motor",
                                          {.dataset_version = FakeDatasets::kVersion,
                                           .impulse = kImpulse,
                                           .seed = 0,
                                           .parent_model = "",
                                           .trainer = "mine"},
                                          "")
                                  .status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(status.message(), "build.trainer: got \"mine\", want one of fieldloop-trainer, other");
}

TEST_F(BuildWorkerTest, ATrainerThatCannotBeReadIsListedWithoutADigestAndFailsTheBuild) {
  trainer_.unreadable = absl::AbortedError("the trainer's file is gone");
  EXPECT_EQ(trainers_.List()[0].digest, "");
  EXPECT_EQ(trainers_.List()[1].id, "other");
  Create();
  RunOne();
  EXPECT_EQ(Get(1).error, "the trainer's file is gone");
}

TEST_F(BuildWorkerTest, AQueuedBuildSaysHowManyAreBeforeIt) {
  EXPECT_EQ(Create().queue_position, 0);
  EXPECT_EQ(Create().queue_position, 1);
  EXPECT_EQ(Create().queue_position, 2);
  RunOne();
  EXPECT_EQ(queue_.Get("projects/motor/builds/3")->queue_position, 1);
  EXPECT_EQ(queue_.Get("projects/motor/builds/1")->queue_position, 0);
}

TEST_F(BuildWorkerTest, AProjectsQueueHasAnEnd) {
  for (std::int64_t i = 0; i < kMaxQueued; ++i) {
    Create();
  }
  const absl::Status full = queue_
                                .Create("projects/motor",
                                        {.dataset_version = FakeDatasets::kVersion,
                                         .impulse = kImpulse,
                                         .seed = 0,
                                         .parent_model = "",
                                         .trainer = ""},
                                        "")
                                .status();
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(full), "QUEUE_FULL");
}

TEST(History, PassesOfAnotherNetworkReplaceThoseBefore) {
  std::vector<Epoch> history;
  for (const std::int32_t epoch : {1, 2, 3, 1, 2}) {
    RecordEpoch(history, Pass(epoch));
  }
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[1].epoch, 2);
}

TEST(History, ANetworkThatIsSaidAgainStaysInItsPlace) {
  std::vector<Candidate> candidates;
  RecordCandidate(candidates, Tried("a", /*chosen=*/false));
  RecordCandidate(candidates, Tried("b", /*chosen=*/false));
  RecordCandidate(candidates, Tried("a", /*chosen=*/true));
  ASSERT_EQ(candidates.size(), 2U);
  EXPECT_TRUE(candidates[0].chosen);
}

TEST_F(BuildWorkerTest, AnotherTrainerOrSeedTrainsAgain) {
  Create();
  RunOne();
  trainer_.identity.digest = std::string(64, 'e');
  Create();
  RunOne();
  Create({.dataset_version = FakeDatasets::kVersion,
          .impulse = kImpulse,
          .seed = 2,
          .parent_model = "",
          .trainer = ""});
  RunOne();
  EXPECT_EQ(trainer_.runs, 3);
  EXPECT_EQ(Get(3).model, 3);
}

TEST_F(BuildWorkerTest, AFailureSaysWhyAndKeepsTheLog) {
  trainer_.body = [](const TrainingJob&, std::stop_token, TrainerListener& listener) {
    listener.OnLog("oh no\n");
    return absl::StatusOr<TrainedModel>(absl::AbortedError("the loss is not a number"));
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kFailed);
  EXPECT_EQ(Get(1).error, "the loss is not a number");
  EXPECT_EQ(Get(1).model, 0);
  EXPECT_THAT(*queue_.Log("projects/motor/builds/1"), HasSubstr("oh no\n"));
  EXPECT_THAT(database_.models().Get("motor", 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(observer_.done, ElementsAre(BuildState::kFailed));
}

TEST_F(BuildWorkerTest, AModelThatADeviceWouldRefuseIsNotRegistered) {
  checker_.failure = absl::InvalidArgumentError("its self-test: FL_ERR_SELF_TEST");
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kFailed);
  EXPECT_THAT(Get(1).error, HasSubstr("its self-test"));
  EXPECT_THAT(database_.models().Get("motor", 1), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BuildWorkerTest, AnInternalErrorIsToldToTheOperatorOnly) {
  trainer_.body = [](const TrainingJob&, std::stop_token, TrainerListener&) {
    return absl::StatusOr<TrainedModel>(absl::InternalError("secret table"));
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kFailed);
  EXPECT_EQ(Get(1).error.find("secret"), std::string::npos);
  EXPECT_EQ(observer_.errors.size(), 1U);
}

TEST_F(BuildWorkerTest, AServiceThatIsAwayIsWaitedFor) {
  Create();
  datasets_.failure = absl::UnavailableError("ingestion is away");
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kQueued);
  EXPECT_FALSE(*worker_.RunOne()) << "tried again at once";
  datasets_.failure = absl::OkStatus();
  clock_.Advance(absl::Seconds(6));
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kSucceeded);
}

TEST_F(BuildWorkerTest, AServiceThatStaysAwayFailsTheBuild) {
  Create();
  datasets_.failure = absl::UnavailableError("ingestion is away");
  for (int i = 0; i < 11; ++i) {
    RunOne();
    clock_.Advance(absl::Minutes(2));
  }
  EXPECT_EQ(Get(1).state, BuildState::kFailed);
  EXPECT_EQ(Get(1).error, "ingestion is away");
}

TEST_F(BuildWorkerTest, ACancelledBuildStopsItsTrainerAndStaysCancelled) {
  trainer_.body = [this](const TrainingJob&, std::stop_token stop, TrainerListener& listener) {
    listener.OnLog("so far\n");
    EXPECT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
    EXPECT_TRUE(stop.stop_requested());
    return absl::StatusOr<TrainedModel>(absl::CancelledError("stopped"));
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kCancelled);
  EXPECT_THAT(*queue_.Log("projects/motor/builds/1"), HasSubstr("so far\n"));
  EXPECT_THAT(observer_.done, ElementsAre(BuildState::kCancelled));
  EXPECT_FALSE(*worker_.RunOne());
  EXPECT_EQ(ReasonOf(queue_.Cancel("projects/motor/builds/1").status()), "BUILD_DONE");
}

TEST_F(BuildWorkerTest, ACancelWhileSamplesAreFetchedStopsThem) {
  datasets_.before_sample = [this] {
    if (Get(1).state != BuildState::kCancelled) {
      EXPECT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
    }
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kCancelled);
  EXPECT_EQ(trainer_.runs, 0);
}

TEST_F(BuildWorkerTest, ACancelOfAnotherProcessReachesTheTrainerWithTheNextBeat) {
  trainer_.body = [this](const TrainingJob&, std::stop_token stop, TrainerListener&) {
    EXPECT_THAT(database_.builds().Update(
                    "motor", 1, [this](Build& build) { return CancelBuild(build, clock_.Now()); }),
                IsOk());
    EXPECT_FALSE(stop.stop_requested());
    EXPECT_THAT(worker_.Beat(), IsOk());
    EXPECT_TRUE(stop.stop_requested());
    return absl::StatusOr<TrainedModel>(absl::CancelledError("stopped"));
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kCancelled);
}

TEST_F(BuildWorkerTest, AModelThatIsReadyAfterTheCancelIsNotRegistered) {
  trainer_.body = [this](const TrainingJob&, std::stop_token, TrainerListener&) {
    EXPECT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
    return absl::StatusOr<TrainedModel>({.file = "late", .metrics = {}});
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kCancelled);
  EXPECT_THAT(database_.models().Get("motor", 1), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BuildWorkerTest, AStoppedServicePutsTheBuildBack) {
  trainer_.body = [this](const TrainingJob&, std::stop_token stop, TrainerListener&) {
    running_.StopAll();
    EXPECT_TRUE(stop.stop_requested());
    return absl::StatusOr<TrainedModel>(absl::CancelledError("stopped"));
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kQueued);
  EXPECT_EQ(Get(1).interruptions, 0);
  EXPECT_EQ(Get(1).progress, 0);
}

TEST_F(BuildWorkerTest, TheRunOfABuildThatIsDoneIsDiscarded) {
  Create();
  RunOne();
  EXPECT_THAT(runner_.discarded, ElementsAre(1));
  trainer_.body = [](const TrainingJob&, std::stop_token, TrainerListener&) {
    return absl::AbortedError("no");
  };
  Create({.dataset_version = FakeDatasets::kVersion,
          .impulse = kImpulse,
          .seed = 2,
          .parent_model = "",
          .trainer = ""});
  RunOne();
  EXPECT_THAT(runner_.discarded, ElementsAre(1, 2));
}

TEST_F(BuildWorkerTest, TheRunOfACancelledBuildIsDiscarded) {
  trainer_.body = [this](const TrainingJob& job, std::stop_token, TrainerListener&) {
    EXPECT_EQ(job.project, "motor");
    EXPECT_EQ(job.number, 1);
    EXPECT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
    return absl::CancelledError("stopped");
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kCancelled);
  EXPECT_THAT(runner_.discarded, ElementsAre(1));
}

TEST_F(BuildWorkerTest, TheRunOfABuildThatGoesBackIntoTheQueueGoesOn) {
  trainer_.body = [this](const TrainingJob&, std::stop_token, TrainerListener&) {
    running_.StopAll();
    return absl::CancelledError("stopped");
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kQueued);
  runner_.kept = {{.project = "motor", .number = 1}};
  EXPECT_THAT(worker_.Beat(), IsOk());
  EXPECT_TRUE(runner_.discarded.empty());
}

TEST_F(BuildWorkerTest, ABeatDiscardsWhatOthersLeftOfBuildsThatAreDone) {
  Create();
  EXPECT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
  runner_.kept = {{.project = "motor", .number = 1}, {.project = "gone", .number = 9}};
  runner_.failure = absl::UnavailableError("Kubernetes cannot be reached");
  EXPECT_THAT(worker_.Beat(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(observer_.waiting, 0);
  runner_.failure = absl::OkStatus();
  EXPECT_THAT(worker_.Beat(), IsOk());
  EXPECT_TRUE(runner_.discarded.empty());  // Not at every beat.
  clock_.Advance(absl::Seconds(11));
  EXPECT_THAT(worker_.Beat(), IsOk());
  EXPECT_THAT(runner_.discarded, ElementsAre(1, 9));
}

TEST_F(BuildWorkerTest, ALeaseIsRenewedWhileTheTrainerWorks) {
  trainer_.body = [this](const TrainingJob&, std::stop_token, TrainerListener&) {
    BuildWorker other = Worker("other");
    for (int i = 0; i < 6; ++i) {
      clock_.Advance(absl::Seconds(11));
      EXPECT_THAT(worker_.Beat(), IsOk());
      EXPECT_FALSE(*other.RunOne());
    }
    return absl::StatusOr<TrainedModel>({.file = "model", .metrics = {}});
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kSucceeded);
}

TEST_F(BuildWorkerTest, AProcessThatLostItsLeaseRegistersNothing) {
  trainer_.body = [this](const TrainingJob&, std::stop_token, TrainerListener&) {
    if (trainer_.runs > 1) {
      return absl::StatusOr<TrainedModel>({.file = "of the other", .metrics = {}});
    }
    clock_.Advance(absl::Seconds(31));
    BuildWorker other = Worker("other");
    EXPECT_TRUE(*other.RunOne());
    return absl::StatusOr<TrainedModel>({.file = "late", .metrics = {}});
  };
  Create();
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kSucceeded);
  EXPECT_EQ(database_.models().Get("motor", 1)->digest, ToHex(Sha256Of("of the other")));
  EXPECT_THAT(database_.models().Get("motor", 2), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(observer_.done, ElementsAre(BuildState::kSucceeded));
}

TEST_F(BuildWorkerTest, ABuildThatTakesTheServiceWithItEachTimeIsGivenUp) {
  Create();
  for (int i = 0; i < kMaxInterruptions; ++i) {
    ASSERT_TRUE(database_.builds()
                    .Claim(clock_.Now(),
                           [this](Build& build) {
                             ClaimBuild(build, "me", clock_.Now(), BuildWorker::kLease);
                           })
                    ->has_value());
    ASSERT_THAT(worker_.RequeueHeld(), IsOk());
  }
  RunOne();
  EXPECT_EQ(Get(1).state, BuildState::kFailed);
  EXPECT_THAT(Get(1).error, HasSubstr("ended 3 times"));
  EXPECT_EQ(trainer_.runs, 0);
}

TEST_F(BuildWorkerTest, BuildsOfAllProjectsAreTakenInTheOrderOfTheirMaking) {
  std::vector<std::int64_t> order;
  trainer_.body = [&](const TrainingJob& job, std::stop_token, TrainerListener&) {
    order.push_back(job.seed);
    return absl::StatusOr<TrainedModel>({.file = "model", .metrics = {}});
  };
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    Create({.dataset_version = FakeDatasets::kVersion,
            .impulse = kImpulse,
            .seed = seed,
            .parent_model = "",
            .trainer = ""});
    clock_.Advance(absl::Seconds(1));
  }
  RunOne();
  RunOne();
  RunOne();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST_F(BuildWorkerTest, TheBeatTellsTheQueue) {
  Create();
  clock_.Advance(absl::Seconds(90));
  ASSERT_THAT(worker_.Beat(), IsOk());
  EXPECT_EQ(observer_.waiting, 1);
  EXPECT_EQ(observer_.oldest_age, absl::Seconds(90));
}

TEST_F(BuildWorkerTest, NothingStaysInTheWorkArea) {
  Create();
  RunOne();
  EXPECT_TRUE(std::filesystem::is_empty(database_.folder() + "/work"));
}

// What a process leaves behind that is killed while a build is in a state.
struct KilledIn {
  BuildState state;
  friend void PrintTo(const KilledIn& killed, std::ostream* os) { *os << StateText(killed.state); }
};

class KilledProcess : public BuildWorkerTest, public ::testing::WithParamInterface<KilledIn> {
 protected:
  void LeaveBehind() {
    Create();
    ASSERT_TRUE(database_.builds()
                    .Claim(clock_.Now(),
                           [this](Build& build) {
                             ClaimBuild(build, "me", clock_.Now(), BuildWorker::kLease);
                             build.state = GetParam().state;
                             build.progress = 0.6;
                             build.epoch = 9;
                           })
                    ->has_value());
  }
};

TEST_P(KilledProcess, ItsBuildIsQueuedAgainAtTheNextStartAndEnds) {
  LeaveBehind();
  BuildWorker restarted = Worker("me");
  ASSERT_THAT(restarted.RequeueHeld(), IsOk());
  EXPECT_EQ(Get(1).state, BuildState::kQueued);
  EXPECT_EQ(Get(1).progress, 0);
  EXPECT_EQ(Get(1).epoch, 0);
  EXPECT_EQ(Get(1).interruptions, 1);
  EXPECT_TRUE(*restarted.RunOne());
  EXPECT_EQ(Get(1).state, BuildState::kSucceeded);
}

TEST_P(KilledProcess, ItsBuildIsTakenOverByAnotherWhenTheLeaseIsOver) {
  LeaveBehind();
  BuildWorker other = Worker("other");
  ASSERT_THAT(other.RequeueHeld(), IsOk());
  EXPECT_EQ(Get(1).state, GetParam().state) << "it is not the other's to put back";
  EXPECT_FALSE(*other.RunOne());
  clock_.Advance(BuildWorker::kLease + absl::Seconds(1));
  EXPECT_TRUE(*other.RunOne());
  EXPECT_EQ(Get(1).state, BuildState::kSucceeded);
}

INSTANTIATE_TEST_SUITE_P(States, KilledProcess,
                         ::testing::Values(KilledIn{BuildState::kPreparing},
                                           KilledIn{BuildState::kTraining},
                                           KilledIn{BuildState::kPackaging}),
                         [](const auto& param_info) {
                           return std::string(StateText(param_info.param.state));
                         });

// BuildQueue.

TEST_F(BuildWorkerTest, ARepeatWithTheSameRequestIdReturnsTheFirst) {
  const BuildRequest request{.dataset_version = FakeDatasets::kVersion,
                             .impulse = kImpulse,
                             .seed = 0,
                             .parent_model = "",
                             .trainer = ""};
  ASSERT_THAT(queue_.Create("projects/motor", request, "r-1"), IsOk());
  // Also while ingestion is away.
  datasets_.failure = absl::UnavailableError("ingestion is away");
  const absl::StatusOr<Build> again = queue_.Create("projects/motor", request, "r-1");
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->number, 1);
}

TEST_F(BuildWorkerTest, ABuildStoresTheVersionOfTheImpulseAndTheSeed) {
  const Build build = Create();
  EXPECT_EQ(build.impulse, "projects/motor/impulses/gait/versions/1");
  EXPECT_EQ(build.seed, 1U);
}

TEST_F(BuildWorkerTest, WhatABuildIsMadeOfMustExistInItsProject) {
  const auto create = [this](const BuildRequest& request) {
    return queue_.Create("projects/motor", request, "").status();
  };
  const BuildRequest good{.dataset_version = FakeDatasets::kVersion,
                          .impulse = kImpulse,
                          .seed = 0,
                          .parent_model = "",
                          .trainer = ""};
  BuildRequest bad = good;
  bad.dataset_version = "projects/motor/datasets/gait";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad.dataset_version = "projects/motor/datasets/gait/versions/2";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kNotFound));
  bad = good;
  bad.impulse = "projects/other/impulses/gait";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad.impulse = "projects/motor/impulses/gait/versions/2";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kNotFound));
  bad = good;
  bad.parent_model = "projects/motor/models/1";
  EXPECT_THAT(create(bad), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BuildWorkerTest, AQueuedBuildIsCancelledAtOnce) {
  Create();
  EXPECT_THAT(queue_.Cancel("projects/motor/builds/1"), IsOk());
  EXPECT_FALSE(*worker_.RunOne());
  EXPECT_EQ(Get(1).end_time, clock_.Now());
}

// WorkerPool.

TEST_F(BuildWorkerTest, APoolRunsWhatIsQueuedAndPutsBackWhatItIsStoppedIn) {
  trainer_.body = [](const TrainingJob& job, std::stop_token stop, TrainerListener&) {
    if (job.seed == 1) {
      return absl::StatusOr<TrainedModel>({.file = "model", .metrics = {}});
    }
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait(lock, stop, [] { return false; });
    return absl::StatusOr<TrainedModel>(absl::CancelledError("stopped"));
  };
  WorkerPool pool(worker_, running_, changes_, observer_);
  ASSERT_THAT(pool.Start(1), IsOk());
  const auto wait_for = [this](std::int64_t number, BuildState state) {
    for (std::uint64_t seen = changes_.Current(); Get(number).state != state;
         seen = changes_.Current()) {
      changes_.Wait(seen, absl::Milliseconds(100));
    }
  };
  Create();
  wait_for(1, BuildState::kSucceeded);
  Create({.dataset_version = FakeDatasets::kVersion,
          .impulse = kImpulse,
          .seed = 2,
          .parent_model = "",
          .trainer = ""});
  wait_for(2, BuildState::kTraining);
  pool.Stop();
  EXPECT_EQ(Get(2).state, BuildState::kQueued);
  EXPECT_EQ(observer_.errors.size(), 0U);
}

TEST(LogTail, KeepsTheLastMebibyteFromALineOn) {
  LogTail log;
  const std::string line(99, 'x');
  for (int i = 0; i < 40000; ++i) {
    log.Append(line + "\n");
  }
  log.Append("the end\n");
  const std::string text = log.Text();
  EXPECT_LE(text.size(), LogTail::kMaxBytes);
  EXPECT_GT(text.size(), LogTail::kMaxBytes - 200);
  EXPECT_EQ(text.substr(0, 100), line + "\n");
  EXPECT_TRUE(text.ends_with("the end\n"));
}

TEST(LogTail, KeepsAShortLogWhole) {
  LogTail log;
  log.Append("one\n");
  log.Append("two");
  EXPECT_EQ(log.Text(), "one\ntwo");
}

}  // namespace
}  // namespace fieldloop::build
