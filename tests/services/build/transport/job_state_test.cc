// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/job_state.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;
using Json = nlohmann::json;

TEST(JobState, AJobIsOverByItsConditions) {
  EXPECT_FALSE(StateOfJob(Json::parse(R"({"status": {}})")).over());
  EXPECT_FALSE(StateOfJob(Json::parse(R"({"status": {"conditions":
      [{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "False"}]}})"))
                   .over());
  EXPECT_TRUE(StateOfJob(Json::parse(R"({"status": {"conditions":
      [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}})"))
                  .complete);
  const JobState failed = StateOfJob(Json::parse(R"({"status": {"conditions": [{"type": "Failed",
      "status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer"}]}})"));
  EXPECT_TRUE(failed.failed);
  EXPECT_EQ(failed.reason, "DeadlineExceeded");
  EXPECT_EQ(failed.message, "Job was active longer");
}

TEST(JobState, AnAnswerThatIsNotOneIsNoState) {
  for (const char* text : {"null", "[]", R"({"status": {"conditions": 7}})", R"({"items": 7})",
                           R"({"items": [{"status": {"containerStatuses": []}}]})"}) {
    EXPECT_FALSE(StateOfJob(Json::parse(text)).over()) << text;
    EXPECT_EQ(StateOfPod(Json::parse(text)).name, "") << text;
  }
}

TEST(PodState, WhyAPodWaitsIsSaid) {
  const PodState unscheduled = StateOfPod(Json::parse(R"({"items": [{"metadata": {"name": "p"},
      "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
      "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
      }]}}]})"));
  EXPECT_FALSE(unscheduled.has_started);
  EXPECT_EQ(unscheduled.message,
            "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.");
  const PodState no_image = StateOfPod(Json::parse(R"({"items": [{"metadata": {"name": "p"},
      "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff",
      "message": "Back-off pulling image"}}}]}}]})"));
  EXPECT_EQ(no_image.message, "ImagePullBackOff: Back-off pulling image");
}

TEST(PodState, TheNewestPodCounts) {
  EXPECT_EQ(StateOfPod(Json::parse(R"({"items": [
      {"metadata": {"name": "new", "creationTimestamp": "2026-01-02T00:00:00Z"}},
      {"metadata": {"name": "old", "creationTimestamp": "2026-01-01T00:00:00Z"}}]})"))
                .name,
            "new");
}

// Why a run failed that told nothing, of a pod with that status.
absl::Status Failure(const std::string& pod_status,
                     const std::string& job_reason = "BackoffLimitExceeded") {
  JobConfig config;
  JobState job;
  job.failed = true;
  job.reason = job_reason;
  job.message = "Job has reached the specified backoff limit";
  const PodState pod =
      pod_status.empty()
          ? PodState()
          : StateOfPod({{"items",
                         {{{"metadata", {{"name", "p"}}}, {"status", Json::parse(pod_status)}}}}});
  return FailureOf(config, {.time = absl::Minutes(5), .memory_bytes = 100 << 20}, job, pod);
}

TEST(FailureOf, EachEndOfAPodHasItsSentence) {
  EXPECT_EQ(Failure(R"({"containerStatuses": [{"state": {"terminated": {"exitCode": 137,
                        "reason": "OOMKilled"}}}]})"),
            absl::AbortedError("the trainer ran out of memory: Kubernetes ended its pod, which was "
                               "to use 100 MiB"));
  EXPECT_EQ(Failure(R"({"containerStatuses": [{"state": {"terminated": {"exitCode": 1,
                        "message": "cannot open"}}}]})"),
            absl::AbortedError("the trainer's pod ended with code 1: cannot open"));
  EXPECT_EQ(Failure(R"({"containerStatuses": [{"state": {"running": {}}}]})", "DeadlineExceeded"),
            absl::DeadlineExceededError("the trainer took longer than 5m"));
  EXPECT_EQ(
      Failure(R"({"conditions": [{"type": "PodScheduled", "status": "False",
                        "reason": "Unschedulable", "message": "no GPU"}]})",
              "DeadlineExceeded"),
      absl::DeadlineExceededError("the trainer's pod did not start in 1h: Unschedulable: no GPU"));
}

TEST(FailureOf, WhatIsNotTheTrainersFaultIsTriedAgain) {
  for (const char* status :
       {R"({"reason": "Evicted", "message": "The node was low on resource: memory."})",
        R"({"conditions": [{"type": "DisruptionTarget", "status": "True",
            "reason": "PreemptionByScheduler", "message": "preempting"}]})",
        R"({"containerStatuses": [{"state": {"terminated": {"exitCode": 75,
            "message": "the build service gives no inputs"}}}]})",
        ""}) {
    EXPECT_THAT(Failure(status), StatusIs(absl::StatusCode::kUnavailable)) << status;
  }
  const absl::Status full = Failure(R"({"reason": "Evicted",
      "message": "Usage of EmptyDir volume \"work\" exceeds the limit \"1Gi\"."})");
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(std::string(full.message()), HasSubstr("filled its disk"));
}

TEST(StampedLines, LinesLoseTheirTimesInPiecesOfAnySize) {
  const std::string log =
      "2026-01-01T00:00:00.1Z one\n2026-01-01T00:00:00.2Z \n2026-01-01T00:00:01Z two words\n";
  for (std::size_t piece = 1; piece < log.size(); ++piece) {
    StampedLines lines;
    std::string text;
    for (std::size_t at = 0; at < log.size(); at += piece) {
      text += lines.Take(log.substr(at, piece));
    }
    EXPECT_EQ(text, "one\n\ntwo words\n");
    EXPECT_EQ(lines.last(), "2026-01-01T00:00:01Z");
  }
}

TEST(StampedLines, ALogThatIsReadAgainGivesEachLineOnce) {
  StampedLines lines;
  EXPECT_EQ(lines.Take("T1 a\nT2 b\nT2 c\nT2 cut o"), "a\nb\nc\n");
  lines.Reopen();
  EXPECT_EQ(lines.Take("T1 a\nT2 b\nT2 c\nT2 cut off\nT3 d\n"), "cut off\nd\n");
  lines.Reopen();
  EXPECT_EQ(lines.Take("T3 d\n"), "");
}

}  // namespace
}  // namespace fieldloop::build
