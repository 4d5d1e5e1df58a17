// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// What can go wrong between a JobRunner and Kubernetes; that it runs trainers is shown by
// trainer_runner_test.cc.

#include "services/build/transport/job_runner.h"

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "services/build/transport/trainer_program.h"
#include "tests/services/build/support/fake_kubernetes.h"
#include "tests/services/build/support/kubernetes_bed.h"
#include "tests/services/build/support/recording_listener.h"
#include "tests/services/common/tar/archive_of.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::FakeKubernetes;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

const Json kRunning = Json::parse(R"({"containerStatuses": [{"state": {"running": {}}}]})");
const Json kEnded =
    Json::parse(R"({"containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]})");
const Json kComplete = Json::parse(R"({"conditions": [{"type": "Complete", "status": "True"}]})");
const Json kFailed = Json::parse(R"({"conditions": [{"type": "Failed", "status": "True",
                                     "reason": "BackoffLimitExceeded"}]})");

class JobRunnerTest : public ::testing::Test {
 protected:
  JobRunnerTest() {
    kubernetes_.SetRunsPods(false);
    std::filesystem::create_directories(folder_ / "data");
    std::filesystem::create_directories(folder_ / "out");
    std::ofstream(folder_ / "data/train_input.json") << "{}";
    std::ofstream(folder_ / "trainer.sh") << "#!/bin/sh\n";
    bed_.config().name = "t";
    runner_ = bed_.MakeRunner();
    task_.project = "motor";
    task_.number = 7;
    task_.program = BuiltInTrainer(folder_ / "trainer.sh", {.time = absl::Minutes(5)});
    task_.data_directory = folder_ / "data";
    task_.out_directory = folder_ / "out";
    task_.scratch_directory = folder_ / "scratch";
    task_.outputs = {{.name = "model.tflite", .max_bytes = 1000}};
  }
  ~JobRunnerTest() override { stop_.request_stop(); }

  std::future<absl::Status> Start() {
    return std::async(std::launch::async,
                      [this] { return runner_->Run(task_, stop_.get_token(), listener_); });
  }
  bool WaitForCalls(const std::string& prefix, int count) {
    return kubernetes_.WaitForCalls(prefix, count);
  }
  // The run gives back a model, as its pod would.
  void GiveBack(const std::string& model) {
    EXPECT_THAT(bed_.runs().Finish(*bed_.runs().Get(key_), absl::OkStatus(),
                                   ::fieldloop::testing::ArchiveOf({{"model.tflite", model}})),
                IsOk());
  }
  void End(const std::string& log = "") {
    GiveBack("model");
    kubernetes_.SetPodStatus(kJob, kEnded, log);
    kubernetes_.SetJobStatus(kJob, kComplete);
  }
  // Answers calls that begin with `call` ("POST jobs") with a status, `times` times.
  void Refuse(const std::string& call, int status, const std::string& message, int times) {
    kubernetes_.SetHook([=, left = std::make_shared<int>(times)](
                            const std::string& method,
                            const std::string& path) -> std::optional<FakeKubernetes::Answer> {
      if ((method + " " + path).compare(0, call.size(), call) != 0 || *left == 0) {
        return std::nullopt;
      }
      --*left;
      return FakeKubernetes::Answer{.status = status,
                                    .body = Json{{"kind", "Status"}, {"message", message}}.dump(),
                                    .retry_after = ""};
    });
  }

  static constexpr char kJob[] = "t-motor-7";
  const BuildKey key_{.project = "motor", .number = 7};
  const testing::TemporaryFolder folder_;
  FakeKubernetes kubernetes_{folder_.path()};
  KubernetesBed bed_{{.api = kubernetes_.api(), .folder = kubernetes_.credentials()}};
  std::unique_ptr<TrainerRunner> runner_;
  TrainerTask task_;
  RecordingListener listener_;
  std::stop_source stop_;
};

TEST_F(JobRunnerTest, AWatchThatIsDroppedIsBegunAgainWhereItWas) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  kubernetes_.SetJobStatus(kJob, Json::parse(R"({"active": 1})"));
  kubernetes_.DropStreams();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 2));
  End();
  EXPECT_THAT(run.get(), IsOk());
  EXPECT_EQ(kubernetes_.Count("GET jobs?"), 1);
}

TEST_F(JobRunnerTest, AVersionThatIsGoneIsListedAnew) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  kubernetes_.Compact();  // Told within the watch.
  ASSERT_TRUE(WaitForCalls("GET jobs?", 2));
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 2));
  Refuse("WATCH jobs", 410, "too old resource version", 1);
  kubernetes_.DropStreams();
  ASSERT_TRUE(WaitForCalls("GET jobs?", 3));  // Told as the answer to one.
  End();
  EXPECT_THAT(run.get(), IsOk());
}

TEST_F(JobRunnerTest, AJobThatEndsWhileNobodyWatchesIsSeen) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  Refuse("WATCH jobs", 503, "etcd is away", 2);
  kubernetes_.DropStreams();
  End();
  EXPECT_THAT(run.get(), IsOk());
  std::ifstream model(folder_ / "out/model.tflite");
  std::string content;
  model >> content;
  EXPECT_EQ(content, "model");
}

TEST_F(JobRunnerTest, ALogWhoseConnectionIsLostGivesEachLineOnce) {
  absl::Notification heard;
  listener_.on_log = [&] {
    if (listener_.log == "one\ntwo\n") {
      heard.Notify();
    }
  };
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  kubernetes_.SetPodStatus(kJob, kRunning, "one\ntwo\n");
  ASSERT_TRUE(heard.WaitForNotificationWithTimeout(absl::Seconds(60)));
  kubernetes_.DropStreams();
  ASSERT_TRUE(WaitForCalls("GET pods/t-motor-7-pod/log", 2));
  End("three\n");
  EXPECT_THAT(run.get(), IsOk());
  EXPECT_EQ(listener_.log, "one\ntwo\nthree\n");
  EXPECT_THAT(kubernetes_.calls(), Contains(HasSubstr("sinceTime=2026-01-01T00:00:00.")));
}

TEST_F(JobRunnerTest, AJobThatIsThereForTheSameRunIsTakenOver) {
  auto first = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  stop_.request_stop();
  EXPECT_THAT(first.get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(kubernetes_.jobs().count(kJob), 1U);
  stop_ = std::stop_source();
  runner_ = bed_.MakeRunner();
  auto second = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 2));
  End();
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_EQ(kubernetes_.Count("DELETE"), 0);
}

TEST_F(JobRunnerTest, ARunThatEndedWhileTheServiceWasAwayNeedsNoJobAnyMore) {
  auto first = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  stop_.request_stop();
  EXPECT_THAT(first.get(), StatusIs(absl::StatusCode::kCancelled));
  stop_ = std::stop_source();
  GiveBack("model");
  kubernetes_.DeleteJob(kJob);
  EXPECT_THAT(Start().get(), IsOk());
  EXPECT_EQ(kubernetes_.Count("POST jobs"), 1);
}

TEST_F(JobRunnerTest, AJobOfAnotherRunIsDeletedAndMadeAnew) {
  KubernetesClient client({.api = kubernetes_.api(), .folder = kubernetes_.credentials()},
                          [](absl::Duration) {});
  ASSERT_THAT(client.Send("POST", "/apis/batch/v1/namespaces/loop/jobs",
                          R"({"metadata": {"name": "t-motor-7",
                              "annotations": {"fieldloop.io/run": "another"}}})"),
              IsOk());
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  EXPECT_EQ(RunOfJob(kubernetes_.jobs()[kJob]), bed_.runs().Get(key_)->id);
  EXPECT_THAT(kubernetes_.delete_bodies(),
              ElementsAre(HasSubstr(R"("propagationPolicy":"Background")")));
  End();
  EXPECT_THAT(run.get(), IsOk());
}

TEST_F(JobRunnerTest, TheSecretIsMadeAlsoIfItsMakerEndedBetweenJobAndSecret) {
  Refuse("POST secrets", 403, "secrets is forbidden", 1);
  EXPECT_THAT(Start().get(), StatusIs(absl::StatusCode::kAborted));
  EXPECT_TRUE(kubernetes_.secrets().empty());
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  const TrainerRun stored = *bed_.runs().Get(key_);
  ASSERT_EQ(kubernetes_.secrets().count("t-motor-7-" + stored.id), 1U);
  End();
  EXPECT_THAT(run.get(), IsOk());
}

TEST_F(JobRunnerTest, WhatKubernetesRefusesIsSaid) {
  Refuse("POST jobs", 403, "jobs.batch is forbidden: User \"x\" cannot create resource", 1);
  EXPECT_EQ(Start().get(),
            absl::AbortedError("Kubernetes refuses to make the Job t-motor-7: jobs.batch is "
                               "forbidden: User \"x\" cannot create resource (HTTP 403)"));
  Refuse("POST jobs", 422, "spec.template: Invalid value", 1);
  EXPECT_THAT(std::string(Start().get().message()), HasSubstr("spec.template: Invalid value"));
}

TEST_F(JobRunnerTest, AQuotaIsWaitedFor) {
  Refuse("POST jobs", 403, "jobs.batch \"t\" is forbidden: exceeded quota: compute", 1);
  EXPECT_THAT(Start().get(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(JobRunnerTest, AServerThatIsAwayLeavesTheRunForTheNextAttempt) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  Refuse("GET pods", 500, "etcd is away", 1000);
  EXPECT_THAT(run.get(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(kubernetes_.jobs().count(kJob), 1U);
  EXPECT_THAT(bed_.runs().Get(key_), IsOk());
}

TEST_F(JobRunnerTest, WhyAPodWaitsIsTheActivity) {
  // Looks at the pods that begin now: when the second one begins, what the first saw was told.
  const auto wait_for_two_looks = [this] {
    for (int i = 0; i < 2; ++i) {
      const auto before = static_cast<int>(kubernetes_.Count("GET pods?"));
      kubernetes_.SetJobStatus(kJob, Json::parse(R"({"active": 1})"));
      ASSERT_TRUE(WaitForCalls("GET pods?", before + 1));
    }
  };
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  wait_for_two_looks();
  wait_for_two_looks();
  kubernetes_.SetPodStatus(kJob, Json::parse(R"({"conditions": [{"type": "PodScheduled",
      "status": "False", "reason": "Unschedulable", "message": "Insufficient nvidia.com/gpu"}]})"));
  wait_for_two_looks();
  kubernetes_.SetPodStatus(kJob, kRunning);
  kubernetes_.SetJobStatus(kJob, Json::parse(R"({"active": 1})"));
  ASSERT_TRUE(WaitForCalls("GET pods/t-motor-7-pod/log", 1));
  End();
  EXPECT_THAT(run.get(), IsOk());
  EXPECT_THAT(
      listener_.activities,
      ElementsAre("waits for its pod",
                  "waits for its pod: Unschedulable: Insufficient nvidia.com/gpu", "trains"));
}

TEST_F(JobRunnerTest, APodThatRanOutOfMemoryFailsTheBuild) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  kubernetes_.SetPodStatus(kJob, Json::parse(R"({"containerStatuses": [{"state": {"terminated":
      {"exitCode": 137, "reason": "OOMKilled"}}}]})"),
                           "words before\n");
  kubernetes_.SetJobStatus(kJob, kFailed);
  const absl::Status end = run.get();
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(std::string(end.message()), HasSubstr("ran out of memory"));
  EXPECT_EQ(listener_.log, "words before\n");
}

TEST_F(JobRunnerTest, APodThatWasEvictedIsTriedAgainAsAnotherRun) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  const std::string id = bed_.runs().Get(key_)->id;
  kubernetes_.SetPodStatus(kJob,
                           Json::parse(R"({"reason": "Evicted", "message": "low on memory"})"));
  kubernetes_.SetJobStatus(kJob, kFailed);
  EXPECT_EQ(run.get(), absl::UnavailableError(
                           "Kubernetes took the trainer's pod away: Evicted: low on memory"));
  auto again = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 2));
  EXPECT_NE(bed_.runs().Get(key_)->id, id);
  kubernetes_.SetPodStatus(kJob, kRunning);
  End();
  EXPECT_THAT(again.get(), IsOk());
}

TEST_F(JobRunnerTest, AJobThatSomebodyDeletesIsTriedAgain) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  kubernetes_.DeleteJob(kJob);
  EXPECT_EQ(run.get(), absl::UnavailableError("somebody deleted the Job t-motor-7"));
  EXPECT_TRUE(runner_->Kept()->empty());
}

TEST_F(JobRunnerTest, ARunThatIsDiscardedEndsWithItsJob) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  EXPECT_THAT(*runner_->Kept(), ElementsAre(key_));
  EXPECT_THAT(bed_.MakeRunner()->Discard(key_), IsOk());  // As another replica does.
  EXPECT_FALSE(run.get().ok());
  EXPECT_TRUE(kubernetes_.jobs().empty());
  EXPECT_TRUE(kubernetes_.secrets().empty());
  EXPECT_TRUE(runner_->Kept()->empty());
  EXPECT_THAT(runner_->Discard(key_), IsOk());
}

TEST_F(JobRunnerTest, ADiscardThatKubernetesDoesNotTakeIsKeptForLater) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  Refuse("DELETE", 500, "no", 5);
  EXPECT_THAT(runner_->Discard(key_), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(*runner_->Kept(), ElementsAre(key_));
  EXPECT_THAT(runner_->Discard(key_), IsOk());
  EXPECT_TRUE(kubernetes_.jobs().empty());
  EXPECT_FALSE(run.get().ok());
}

TEST_F(JobRunnerTest, AJobThatIsOverStaysToBeLookedAt) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  End();
  EXPECT_THAT(run.get(), IsOk());
  EXPECT_THAT(runner_->Discard(key_), IsOk());
  EXPECT_EQ(kubernetes_.jobs().count(kJob), 1U);
}

TEST_F(JobRunnerTest, ALogThatMayNotBeReadIsSaidAndNotWaitedFor) {
  auto run = Start();
  ASSERT_TRUE(WaitForCalls("WATCH jobs", 1));
  Refuse("GET pods/", 403, "pods/log is forbidden", 1000);
  kubernetes_.SetPodStatus(kJob, kRunning, "words\n");
  ASSERT_TRUE(WaitForCalls("GET pods/t-motor-7-pod/log", 1));
  End();
  EXPECT_THAT(run.get(), IsOk());
  EXPECT_EQ(listener_.log,
            "note: the log of the pod cannot be read: pods/log is forbidden (HTTP 403)\n");
}

TEST_F(JobRunnerTest, ATrainerWithoutAnImageIsNotForIt) {
  TrainerProgram program;
  program.id = "centroids";
  const absl::Status status = runner_->Check(program);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("the trainer centroids has no image"));
  program.image = "r/torch@sha256:ab";
  EXPECT_THAT(runner_->Check(program), IsOk());
  EXPECT_THAT(runner_->Check(task_.program), IsOk());
}

}  // namespace
}  // namespace fieldloop::build
