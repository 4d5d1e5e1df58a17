// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/job_config.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "services/common/trace/span.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::testing::MatchesRegex;
using ::testing::SizeIs;
using Json = nlohmann::json;

JobConfig Config(const std::string& pod = "{}") {
  const absl::StatusOr<JobConfig> config = ParseJobConfig(
      R"({"namespace": "loop", "image": "r/trainer:1", "service": "fieldloop-build:7400", "pod": )" +
      pod + "}");
  EXPECT_THAT(config, IsOk());
  return *config;
}

TrainerRun SomeRun() {
  TrainerRun run;
  run.project = "motor";
  run.number = 7;
  run.id = "0123456789abcdef";
  run.token = "flr_secret";
  return run;
}

TrainerTask SomeTask() {
  TrainerTask task;
  task.project = "motor";
  task.number = 7;
  task.program.limits.time = absl::Minutes(10);
  task.program.limits.memory_bytes = std::int64_t{1} << 30;
  return task;
}

TEST(JobConfig, WhatIsWrongIsSaid) {
  for (const auto& [json, why] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "want a JSON object"},
           {R"({"service": "s:1"})", "image: got nothing"},
           {R"({"image": "i"})", "service: got nothing"},
           {R"({"image": "i", "service": 7})", "service: got 7, want a string"},
           {R"({"image": "i", "service": "s:1", "startMinutes": 0})",
            "startMinutes: got 0, want a whole number from 1"},
           {R"({"image": "i", "service": "s:1", "nodes": 1})",
            "nodes: got a field that is not known"},
           {R"({"image": "i", "service": "s:1", "pod": {"tolerations": {}}})",
            "pod.tolerations: got {}, want a list"},
           {R"({"image": "i", "service": "s:1", "pod": {"hostNetwork": true}})",
            "pod.hostNetwork: got a field that is not known"}}) {
    const absl::Status status = ParseJobConfig(json).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status) && absl::StrContains(status.message(), why))
        << json << ": " << status;
  }
}

TEST(JobName, IsTheSameForTheSameBuildAndNoOther) {
  const JobConfig config = Config();
  EXPECT_EQ(JobName(config, {.project = "motor", .number = 7}), "fieldloop-motor-7");
  const std::string project(39, 'p');
  JobConfig other = config;
  other.name = std::string(40, 'n');
  const std::string longest = JobName(other, {.project = project, .number = 1234567});
  EXPECT_THAT(longest, SizeIs(52U));
  EXPECT_EQ(longest, JobName(other, {.project = project, .number = 1234567}));
  EXPECT_NE(longest, JobName(other, {.project = project, .number = 1234568}));
  // Names of Kubernetes have no capitals and no dots.
  EXPECT_THAT(JobName(config, {.project = "My_Motor", .number = 7}),
              MatchesRegex("fieldloop-my-motor-7-[0-9a-f]+"));
}

TEST(JobManifest, APodIsRestrictedAndHasNoTokenOfKubernetes) {
  const Json job = JobManifest(Config(), SomeTask(), SomeRun());
  const Json& pod = job["spec"]["template"]["spec"];
  EXPECT_EQ(pod["automountServiceAccountToken"], false);
  EXPECT_EQ(pod["restartPolicy"], "Never");
  EXPECT_EQ(pod["securityContext"]["runAsNonRoot"], true);
  EXPECT_EQ(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
  ASSERT_EQ(pod["containers"].size(), 1U);
  const Json& container = pod["containers"][0];
  EXPECT_EQ(container["securityContext"]["readOnlyRootFilesystem"], true);
  EXPECT_EQ(container["securityContext"]["allowPrivilegeEscalation"], false);
  EXPECT_EQ(container["securityContext"]["capabilities"]["drop"], Json({"ALL"}));
  EXPECT_EQ(container["command"], Json::array({"fieldloop-trainer-runner"}));
  EXPECT_EQ(container["args"][0], "--service=fieldloop-build:7400");
  EXPECT_EQ(container["image"], "r/trainer:1");
  EXPECT_EQ(container["env"][0]["valueFrom"]["secretKeyRef"]["name"],
            "fieldloop-motor-7-0123456789abcdef");
  EXPECT_EQ(job.dump().find("flr_secret"), std::string::npos);
}

TEST(JobManifest, APodIsToldTheTraceThatItIsStartedIn) {
  const Json quiet = JobManifest(Config(), SomeTask(), SomeRun());
  EXPECT_EQ(quiet["spec"]["template"]["spec"]["containers"][0]["env"].size(), 1U);
  const WorkSpan work("trainer", SpanKind::kInternal, {}, {});
  const Json job = JobManifest(Config(), SomeTask(), SomeRun());
  EXPECT_EQ(job["spec"]["template"]["spec"]["containers"][0]["env"][1],
            Json({{"name", "TRACEPARENT"}, {"value", CurrentTraceparent()}}));
}

TEST(JobManifest, ItsLimitsAreThoseOfTheTrainer) {
  const Json job = JobManifest(Config(), SomeTask(), SomeRun());
  EXPECT_EQ(job["spec"]["backoffLimit"], 0);
  EXPECT_EQ(job["spec"]["activeDeadlineSeconds"], (60 + 10 + 30) * 60);
  EXPECT_EQ(job["spec"]["ttlSecondsAfterFinished"], 3600);
  const Json& pod = job["spec"]["template"]["spec"];
  EXPECT_EQ(pod["activeDeadlineSeconds"], (10 + 30) * 60);
  EXPECT_EQ(pod["containers"][0]["resources"],
            Json::parse(R"({"requests": {"cpu": "1", "memory": "1342177280"},
                            "limits": {"memory": "1342177280"}})"));
}

TEST(JobManifest, NodesTolerationsAndGpusAreThoseOfTheFileThenOfTheTrainer) {
  const JobConfig config = Config(R"({"nodeSelector": {"pool": "train"}, "workSize": "20Gi",
      "tolerations": [{"key": "train", "operator": "Exists"}], "labels": {"team": "ml"},
      "imagePullSecrets": [{"name": "registry"}], "runtimeClassName": "gvisor",
      "resources": {"requests": {"cpu": "4"}}})");
  TrainerTask task = SomeTask();
  task.program.image = "r/torch@sha256:ab";
  task.program.pod = R"({"nodeSelector": {"gpu": "t4"}, "runtimeClassName": "nvidia",
                         "resources": {"limits": {"nvidia.com/gpu": "1"}}})";
  const Json job = JobManifest(config, task, SomeRun());
  const Json& pod = job["spec"]["template"]["spec"];
  EXPECT_EQ(pod["nodeSelector"], Json::parse(R"({"pool": "train", "gpu": "t4"})"));
  EXPECT_EQ(pod["tolerations"][0]["key"], "train");
  EXPECT_EQ(pod["runtimeClassName"], "nvidia");
  EXPECT_EQ(pod["imagePullSecrets"][0]["name"], "registry");
  EXPECT_EQ(pod["volumes"][0]["emptyDir"]["sizeLimit"], "20Gi");
  EXPECT_EQ(pod["containers"][0]["image"], "r/torch@sha256:ab");
  EXPECT_EQ(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "1");
  EXPECT_EQ(pod["containers"][0]["resources"]["requests"]["cpu"], "4");
  EXPECT_EQ(job["spec"]["template"]["metadata"]["labels"]["team"], "ml");
}

TEST(JobManifest, LabelsSayWhoseItIs) {
  const Json job = JobManifest(Config(R"({"labels": {"app.kubernetes.io/component": "other"}})"),
                               SomeTask(), SomeRun());
  for (const Json& labels :
       {job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]}) {
    EXPECT_EQ(labels["app.kubernetes.io/component"], "trainer");
    EXPECT_EQ(labels["app.kubernetes.io/instance"], "fieldloop");
    EXPECT_EQ(labels["fieldloop.io/project"], "motor");
    EXPECT_EQ(labels["fieldloop.io/build"], "7");
  }
  EXPECT_EQ(RunOfJob(job), "0123456789abcdef");
  EXPECT_EQ(RunOfJob(Json::object()), "");
}

TEST(SecretManifest, GoesWithItsJobAndHoldsTheTokenAndTheCa) {
  Json job = JobManifest(Config(), SomeTask(), SomeRun());
  job["metadata"]["uid"] = "u-1";
  const Json secret = SecretManifest(job, SomeRun(), "PEM");
  EXPECT_EQ(secret["metadata"]["ownerReferences"][0]["uid"], "u-1");
  EXPECT_EQ(secret["metadata"]["name"], "fieldloop-motor-7-0123456789abcdef");
  EXPECT_EQ(secret["data"]["token"], "ZmxyX3NlY3JldA==");
  EXPECT_EQ(secret["data"]["ca.crt"], "UEVN");
}

}  // namespace
}  // namespace fieldloop::build
