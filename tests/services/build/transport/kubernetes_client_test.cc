// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/kubernetes_client.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/support/fake_kubernetes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::FakeKubernetes;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

constexpr char kJobs[] = "/apis/batch/v1/namespaces/loop/jobs";

class KubernetesClientTest : public ::testing::Test {
 protected:
  KubernetesClientTest() { kubernetes_.SetRunsPods(false); }

  // Answers with `status` until the call `good`, counted from 1.
  void FailUntil(int good, int status, const std::string& retry_after = "") {
    kubernetes_.SetHook(
        [this, good, status, retry_after](
            const std::string&, const std::string&) -> std::optional<FakeKubernetes::Answer> {
          if (++calls_ >= good) {
            return std::nullopt;
          }
          return FakeKubernetes::Answer{
              .status = status, .body = R"({"message": "not now"})", .retry_after = retry_after};
        });
  }

  FakeKubernetes kubernetes_{"/usr/bin"};
  int calls_ = 0;
  std::vector<absl::Duration> waits_;
  KubernetesClient client_{{.api = kubernetes_.api(), .folder = kubernetes_.credentials()},
                           [this](absl::Duration wait) { waits_.push_back(wait); }};
};

TEST_F(KubernetesClientTest, AnAnswerComesBackWithItsStatus) {
  const auto found = client_.Send("GET", std::string(kJobs) + "/none");
  ASSERT_THAT(found, IsOk());
  EXPECT_EQ(found->status, 404);
  EXPECT_EQ(KubernetesMessage(*found), "no job none (HTTP 404)");
  EXPECT_EQ(*client_.Namespace(), "loop");
}

TEST_F(KubernetesClientTest, ServerErrorsAreRepeatedWithBackOff) {
  FailUntil(5, 503);
  const auto listed = client_.Send("GET", kJobs);
  ASSERT_THAT(listed, IsOk());
  EXPECT_EQ(listed->status, 200);
  EXPECT_THAT(waits_, SizeIs(4));
  EXPECT_LE(waits_[0], absl::Milliseconds(200));
  EXPECT_LE(waits_[3], absl::Milliseconds(1600));
}

TEST_F(KubernetesClientTest, WhatIsRepeatedInVainIsUnavailableAndSaysWhat) {
  FailUntil(100, 500);
  const auto listed = client_.Send("GET", kJobs);
  EXPECT_THAT(listed, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(listed.status().message()), HasSubstr("not now (HTTP 500)"));
  EXPECT_EQ(calls_, 5);
}

TEST_F(KubernetesClientTest, TooManyRequestsAreRepeatedWhenTheServerSays) {
  FailUntil(3, 429, "2");
  EXPECT_THAT(client_.Send("GET", kJobs), IsOk());
  EXPECT_THAT(waits_, ElementsAre(absl::Seconds(2), absl::Seconds(2)));
  waits_.clear();
  calls_ = 0;
  FailUntil(2, 429, "86400");
  EXPECT_THAT(client_.Send("GET", kJobs), IsOk());
  EXPECT_THAT(waits_, Each(Le(absl::Seconds(10))));
}

TEST_F(KubernetesClientTest, ATokenThatWasChangedIsReadAgain) {
  EXPECT_EQ(client_.Send("GET", kJobs)->status, 200);
  kubernetes_.SetToken("token-2");
  EXPECT_EQ(client_.Send("GET", kJobs)->status, 200);
  EXPECT_TRUE(waits_.empty());
}

TEST_F(KubernetesClientTest, ATokenThatIsRefusedIsTriedAgainThenSaid) {
  FailUntil(2, 401);
  EXPECT_EQ(client_.Send("GET", kJobs)->status, 200);
  FailUntil(100, 401);
  EXPECT_THAT(client_.Send("GET", kJobs), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(KubernetesClientTest, WithoutATokenItSaysWhereItShouldBe) {
  std::filesystem::remove(kubernetes_.credentials() + "/token");
  const auto listed = client_.Send("GET", kJobs);
  EXPECT_THAT(listed, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(listed.status().message()), HasSubstr("/token"));
}

TEST_F(KubernetesClientTest, AServerThatIsNotThereIsUnavailable) {
  KubernetesClient away({.api = "http://127.0.0.1:1", .folder = kubernetes_.credentials()},
                        [this](absl::Duration wait) { waits_.push_back(wait); });
  EXPECT_THAT(away.Send("GET", kJobs), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(waits_, SizeIs(4));
}

TEST_F(KubernetesClientTest, AStreamGivesWhatComesAndTellsThatItBroke) {
  const auto stream = client_.Open(std::string(kJobs) +
                                   "?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dx");
  ASSERT_THAT(stream, IsOk());
  ASSERT_THAT(client_.Send("POST", kJobs, R"({"metadata": {"name": "x"}})"), IsOk());
  std::string got;
  while (got.find('\n') == std::string::npos) {
    ASSERT_TRUE((*stream)->Pump(absl::Seconds(1), [&got](absl::string_view piece) {
      got.append(piece.data(), piece.size());
    }));
  }
  EXPECT_THAT(got, HasSubstr("ADDED"));
  EXPECT_EQ((*stream)->status(), 200);
  kubernetes_.DropStreams();
  while ((*stream)->Pump(absl::Seconds(1), [](absl::string_view) {})) {
  }
  EXPECT_THAT((*stream)->lost(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(AccessOfThisPod, IsThatOfTheEnvironment) {
  setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
  setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  EXPECT_EQ(AccessOfThisPod()->api, "https://[fd00::1]:443");
  setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
  EXPECT_EQ(AccessOfThisPod()->api, "https://10.96.0.1:443");
  unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_THAT(AccessOfThisPod(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace fieldloop::build
