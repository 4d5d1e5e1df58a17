// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_BUILD_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_BUILD_STORE_CONTRACT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/domain/reasons.h"
#include "services/common/status/error_reason.h"
#include "tests/services/build/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// What every BuildStore must do.
class BuildStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

  static Build Made(int second, const std::string& request_id = "",
                    const std::string& project = "motor") {
    Build build;
    build.project = project;
    build.dataset_version = "projects/motor/datasets/d/versions/1";
    build.dataset_digest = "aa";
    build.impulse = "projects/motor/impulses/i/versions/2";
    build.impulse_digest = "bb";
    build.seed = 4'000'000'000U;
    build.parent_model = 3;
    build.parent_digest = "cc";
    build.trainer_id = "my-trainer";
    build.request_id = request_id;
    build.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    build.create_time = absl::FromUnixSeconds(second);
    return build;
  }

  static Model MadeModel() {
    Model model;
    model.project = "motor";
    model.digest = "dd";
    model.build = 1;
    model.create_time = absl::FromUnixSeconds(5);
    return model;
  }

  absl::StatusOr<Build> Insert(const Build& build) { return store_.Insert(build, 1000); }

  static absl::Time At(int second) { return absl::FromUnixSeconds(second); }

  std::optional<Build> Claim(int second, const std::string& owner) {
    auto claimed = store_.Claim(
        At(second), [&](Build& build) { ClaimBuild(build, owner, At(second), absl::Seconds(30)); });
    EXPECT_THAT(claimed, ::fieldloop::testing::IsOk());
    return *claimed;
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
  BuildStore& store_ = stores_->builds();
};

TEST_P(BuildStoreContract, EveryFieldComesBack) {
  ASSERT_THAT(Insert(Made(1)), ::fieldloop::testing::IsOk());
  const absl::StatusOr<Build> changed = store_.Update("motor", 1, [](Build& build) {
    build.state = BuildState::kTraining;
    build.progress = 0.1;
    build.activity = "trains\n\"ü\"";
    build.epoch = 3;
    build.epochs = 9;
    build.metrics = {{.name = "recall/WALK UP", .value = 1.0 / 3.0},
                     {.name = "loss", .value = -1e-300}};
    build.error = "e";
    build.model = 8;
    build.history = {{.epoch = 1,
                      .loss = 0.1,
                      .accuracy = 1.0 / 3.0,
                      .validation_loss = std::nullopt,
                      .validation_accuracy = std::nullopt},
                     {.epoch = 2,
                      .loss = std::nullopt,
                      .accuracy = std::nullopt,
                      .validation_loss = 1e-9,
                      .validation_accuracy = 1}};
    build.candidates = {{.network = "conv_2d 16/3s2\n\"ü\"",
                         .size_bytes = 5'000'000'000,
                         .arena_bytes = 7,
                         .cortex_m4_instructions = 9,
                         .validation_balanced_accuracy = 0.875,
                         .fits = true,
                         .chosen = true},
                        Candidate()};
    build.trainer = "t";
    build.trainer_digest = "td";
    build.log_digest = "l";
    build.start_time = At(2);
    build.end_time = At(3);
    build.owner = "me";
    build.attempt = 4;
    build.interruptions = 2;
    build.waits = 5;
    build.lease_until = At(6);
    build.not_before = At(7);
    return absl::OkStatus();
  });
  ASSERT_THAT(changed, ::fieldloop::testing::IsOk());
  EXPECT_EQ(changed->seed, 4'000'000'000U);
  EXPECT_EQ(changed->create_time, At(1));
  EXPECT_EQ(changed->traceparent, Made(1).traceparent);
  EXPECT_EQ(store_.List("motor", kAll, 1)->front().traceparent, Made(1).traceparent);
  EXPECT_EQ(*store_.Get("motor", 1), *changed);
}

TEST_P(BuildStoreContract, NumbersCountInEachProject) {
  EXPECT_EQ(Insert(Made(1))->number, 1);
  EXPECT_EQ(Insert(Made(2))->number, 2);
  EXPECT_EQ(Insert(Made(3, "", "other"))->number, 1);
}

TEST_P(BuildStoreContract, AUsedRequestIdReturnsItsBuildWithinTheProject) {
  ASSERT_THAT(Insert(Made(1, "r")), ::fieldloop::testing::IsOk());
  const absl::StatusOr<Build> again = Insert(Made(9, "r"));
  EXPECT_EQ(again->number, 1);
  EXPECT_EQ(again->create_time, At(1));
  EXPECT_EQ(store_.GetByRequest("motor", "r")->number, 1);
  EXPECT_THAT(store_.GetByRequest("other", "r"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(Insert(Made(1, "r", "other"))->number, 1);
  EXPECT_EQ(store_.List("motor", kAll, 10)->size(), 1U);
}

TEST_P(BuildStoreContract, ListIsNewestFirstBelowANumber) {
  for (int i = 1; i <= 4; ++i) {
    ASSERT_THAT(Insert(Made(i)), ::fieldloop::testing::IsOk());
  }
  std::vector<std::int64_t> numbers;
  const auto builds = store_.List("motor", 4, 2);
  ASSERT_THAT(builds, ::fieldloop::testing::IsOk());
  for (const Build& build : *builds) {
    numbers.push_back(build.number);
  }
  EXPECT_THAT(numbers, ::testing::ElementsAre(3, 2));
}

TEST_P(BuildStoreContract, UpdateWritesNothingWhenTheChangeFails) {
  ASSERT_THAT(Insert(Made(1)), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_.Update("motor", 1,
                            [](Build& build) {
                              build.activity = "changed";
                              return absl::FailedPreconditionError("no");
                            }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(store_.Get("motor", 1)->activity, "");
  EXPECT_THAT(store_.Update("motor", 2, [](Build&) { return absl::OkStatus(); }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(BuildStoreContract, ClaimGivesTheOldestOfAllProjectsOnce) {
  ASSERT_THAT(Insert(Made(2)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(Insert(Made(1, "", "other")), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Claim(10, "me")->project, "other");
  EXPECT_EQ(Claim(10, "me")->project, "motor");
  EXPECT_FALSE(Claim(10, "me").has_value());
}

TEST_P(BuildStoreContract, ProjectsTakeTurns) {
  for (int second = 1; second <= 3; ++second) {
    ASSERT_THAT(Insert(Made(second)), ::fieldloop::testing::IsOk());
  }
  ASSERT_THAT(Insert(Made(4, "", "other")), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Claim(10, "me")->project, "motor");
  EXPECT_EQ(Claim(11, "me")->project, "other");
  // Nothing runs any more, and "motor" had its turn before "other".
  for (const auto& [project, number] : {std::pair("motor", 1), std::pair("other", 1)}) {
    ASSERT_THAT(store_.Update(project, number,
                              [](Build& build) {
                                build.state = BuildState::kSucceeded;
                                return absl::OkStatus();
                              }),
                ::fieldloop::testing::IsOk());
  }
  ASSERT_THAT(Insert(Made(5, "", "other")), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Claim(12, "me")->project, "motor");
  EXPECT_EQ(Claim(13, "me")->project, "other");
}

TEST_P(BuildStoreContract, TheOrderIsThatOfTheClaims) {
  for (int second = 1; second <= 3; ++second) {
    ASSERT_THAT(Insert(Made(second)), ::fieldloop::testing::IsOk());
    ASSERT_THAT(Insert(Made(second + 3, "", "other")), ::fieldloop::testing::IsOk());
  }
  const absl::StatusOr<std::vector<WaitingBuild>> order = store_.Order(At(10));
  ASSERT_THAT(order, ::fieldloop::testing::IsOk());
  ASSERT_EQ(order->size(), 6U);
  for (int i = 0; i < 6; ++i) {
    const std::optional<Build> claimed = Claim(10 + i, "me");
    ASSERT_TRUE(claimed.has_value());
    EXPECT_EQ(claimed->project, (*order)[static_cast<std::size_t>(i)].project) << i;
    EXPECT_EQ(claimed->number, (*order)[static_cast<std::size_t>(i)].number) << i;
  }
}

TEST_P(BuildStoreContract, AFullQueueOfAProjectTakesNoMore) {
  ASSERT_THAT(store_.Insert(Made(1, "r"), 2), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_.Insert(Made(2), 2), ::fieldloop::testing::IsOk());
  const absl::Status full = store_.Insert(Made(3), 2).status();
  EXPECT_THAT(full, ::fieldloop::testing::StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(full), kQueueFull);
  EXPECT_EQ(store_.Insert(Made(3, "r"), 2)->number, 1);
  EXPECT_THAT(store_.Insert(Made(3, "", "other"), 2), ::fieldloop::testing::IsOk());
  Claim(10, "me");
  EXPECT_THAT(store_.Insert(Made(4), 2), ::fieldloop::testing::IsOk());
}

TEST_P(BuildStoreContract, ListsLeaveOutWhatGrowsWithTheTraining) {
  ASSERT_THAT(Insert(Made(1)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_.Update("motor", 1,
                            [](Build& build) {
                              build.history.resize(1);
                              build.candidates.resize(1);
                              return absl::OkStatus();
                            }),
              ::fieldloop::testing::IsOk());
  const auto list = store_.List("motor", kAll, 10);
  ASSERT_THAT(list, ::fieldloop::testing::IsOk());
  EXPECT_TRUE(list->front().history.empty());
  EXPECT_TRUE(list->front().candidates.empty());
}

TEST_P(BuildStoreContract, ABuildIsClaimedAgainOnlyAfterItsLease) {
  ASSERT_THAT(Insert(Made(1)), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(Claim(10, "me").has_value());
  EXPECT_FALSE(Claim(40, "other").has_value());
  EXPECT_EQ(Claim(41, "other")->attempt, 2);
}

TEST_P(BuildStoreContract, ABuildThatMustWaitIsNotClaimedBefore) {
  Build build = Made(1);
  build.not_before = At(100);
  ASSERT_THAT(Insert(build), ::fieldloop::testing::IsOk());
  EXPECT_FALSE(Claim(99, "me").has_value());
  EXPECT_TRUE(Claim(100, "me").has_value());
}

TEST_P(BuildStoreContract, BuildsThatAreDoneAreNeverClaimed) {
  for (const BuildState state :
       {BuildState::kSucceeded, BuildState::kFailed, BuildState::kCancelled}) {
    Build build = Made(1);
    build.state = state;
    ASSERT_THAT(Insert(build), ::fieldloop::testing::IsOk());
  }
  EXPECT_FALSE(Claim(1000, "me").has_value());
}

TEST_P(BuildStoreContract, TwoClaimersNeverGetTheSameBuild) {
  constexpr int kBuilds = 20;
  for (int i = 0; i < kBuilds; ++i) {
    ASSERT_THAT(Insert(Made(i)), ::fieldloop::testing::IsOk());
  }
  std::vector<std::int64_t> mine;
  std::vector<std::int64_t> others;
  const auto take = [this](const std::string& owner, std::vector<std::int64_t>& taken) {
    while (const std::optional<Build> build = Claim(100, owner)) {
      taken.push_back(build->number);
    }
  };
  std::thread other([&] { take("other", others); });
  take("me", mine);
  other.join();
  mine.insert(mine.end(), others.begin(), others.end());
  std::sort(mine.begin(), mine.end());
  EXPECT_EQ(std::unique(mine.begin(), mine.end()), mine.end());
  EXPECT_EQ(mine.size(), static_cast<std::size_t>(kBuilds));
}

TEST_P(BuildStoreContract, HeldBuildsAreTheRunningOnesOfTheOwner) {
  ASSERT_THAT(Insert(Made(1)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(Insert(Made(2)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(Insert(Made(3)), ::fieldloop::testing::IsOk());
  Claim(10, "me");
  Claim(10, "other");
  const auto held = store_.ListHeld("me");
  ASSERT_THAT(held, ::fieldloop::testing::IsOk());
  ASSERT_EQ(held->size(), 1U);
  EXPECT_EQ(held->front().number, 1);
}

TEST_P(BuildStoreContract, TheQueueCountsWhatWaits) {
  EXPECT_EQ(store_.Queue()->waiting, 0);
  EXPECT_FALSE(store_.Queue()->oldest.has_value());
  ASSERT_THAT(Insert(Made(5)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(Insert(Made(7)), ::fieldloop::testing::IsOk());
  EXPECT_EQ(store_.Queue()->waiting, 2);
  EXPECT_EQ(*store_.Queue()->oldest, At(5));
  Claim(10, "me");
  EXPECT_EQ(*store_.Queue()->oldest, At(7));
}

TEST_P(BuildStoreContract, FinishStoresModelAndBuildTogetherOrNeither) {
  ASSERT_THAT(Insert(Made(1)), ::fieldloop::testing::IsOk());
  EXPECT_THAT(store_.FinishWithModel("motor", 1, MadeModel(),
                                     [](Build&) { return absl::FailedPreconditionError("no"); }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(stores_->models().Get("motor", 1),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  const absl::StatusOr<Model> model =
      store_.FinishWithModel("motor", 1, MadeModel(), [](Build& build) {
        build.state = BuildState::kSucceeded;
        return absl::OkStatus();
      });
  ASSERT_THAT(model, ::fieldloop::testing::IsOk());
  EXPECT_EQ(model->number, 1);
  EXPECT_EQ(*stores_->models().Get("motor", 1), *model);
  EXPECT_EQ(store_.Get("motor", 1)->model, 1);
  EXPECT_EQ(store_.Get("motor", 1)->state, BuildState::kSucceeded);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BuildStoreContract);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_BUILD_STORE_CONTRACT_H_
