// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/fair_order.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

using ::testing::ElementsAre;

absl::Time At(int second) { return absl::FromUnixSeconds(second); }

WaitingBuild Waiting(const std::string& project, std::int64_t number, int created,
                     int not_before = 0) {
  return {.project = project,
          .number = number,
          .create_time = At(created),
          .not_before = At(not_before)};
}

std::vector<std::string> Order(std::vector<WaitingBuild> waiting,
                               std::map<std::string, ProjectTurn> turns = {}) {
  std::vector<std::string> names;
  for (const WaitingBuild& build : FairOrder(std::move(waiting), std::move(turns), At(100))) {
    names.push_back(absl::StrCat(build.project, build.number));
  }
  return names;
}

TEST(FairOrder, AProjectWithManyBuildsDoesNotKeepTheOthersWaiting) {
  EXPECT_THAT(Order({Waiting("a", 1, 1), Waiting("a", 2, 2), Waiting("a", 3, 3), Waiting("b", 1, 4),
                     Waiting("c", 1, 5)}),
              ElementsAre("a1", "b1", "c1", "a2", "a3"));
}

TEST(FairOrder, TheProjectWithTheFewestRunningIsFirst) {
  EXPECT_THAT(Order({Waiting("a", 1, 1), Waiting("b", 1, 9)}, {{"a", {.running = 1}}}),
              ElementsAre("b1", "a1"));
}

TEST(FairOrder, OfEqualsTheOneWhoseTurnWasLongestAgoIsFirst) {
  EXPECT_THAT(Order({Waiting("a", 1, 1), Waiting("b", 1, 9)},
                    {{"a", {.running = 0, .last_start = At(50)}},
                     {"b", {.running = 0, .last_start = At(40)}}}),
              ElementsAre("b1", "a1"));
}

TEST(FairOrder, WithinAProjectTheOldestIsFirst) {
  EXPECT_THAT(Order({Waiting("a", 2, 1), Waiting("a", 1, 2), Waiting("a", 3, 1)}),
              ElementsAre("a2", "a3", "a1"));
}

TEST(FairOrder, WhatMustWaitIsLastByItsTime) {
  EXPECT_THAT(Order({Waiting("a", 1, 1, 300), Waiting("b", 1, 2, 200), Waiting("c", 1, 3, 100)}),
              ElementsAre("c1", "b1", "a1"));
}

}  // namespace
}  // namespace fieldloop::build
