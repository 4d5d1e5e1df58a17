// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/class_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::build {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Metric Of(const char* name, double value) { return {.name = name, .value = value}; }

TEST(ClassScores, EveryFigureFollowsFromTheCounts) {
  ClassScores scores({"a", "b"});
  scores.Add(0, 0);
  scores.Add(0, 0);
  scores.Add(0, 0);
  scores.Add(0, 1);
  scores.Add(1, 0);
  scores.Add(1, 1);
  EXPECT_THAT(scores.Metrics(),
              ElementsAre(Of("accuracy", 4.0 / 6), Of("balanced_accuracy", (0.75 + 0.5) / 2),
                          Of("recall/a", 0.75), Of("precision/a", 0.75), Of("f1/a", 0.75),
                          Of("windows/a", 4), Of("recall/b", 0.5), Of("precision/b", 0.5),
                          Of("f1/b", 0.5), Of("windows/b", 2)));
}

TEST(ClassScores, AClassWithoutWindowsHasNoRecallAndDoesNotCountInTheMean) {
  ClassScores scores({"a", "b", "c"});
  scores.Add(0, 0);
  scores.Add(0, 1);
  EXPECT_THAT(
      scores.Metrics(),
      ElementsAre(Of("accuracy", 0.5), Of("balanced_accuracy", 0.5), Of("recall/a", 0.5),
                  Of("precision/a", 1), Of("f1/a", 2.0 / 3), Of("windows/a", 2),
                  Of("precision/b", 0), Of("f1/b", 0), Of("windows/b", 0), Of("windows/c", 0)));
}

TEST(ClassScores, AWindowThatTheModelCannotTellIsWrong) {
  ClassScores scores({"a", "b"});
  scores.Add(1, -1);
  EXPECT_THAT(scores.Metrics(),
              ElementsAre(Of("accuracy", 0), Of("balanced_accuracy", 0), Of("windows/a", 0),
                          Of("recall/b", 0), Of("f1/b", 0), Of("windows/b", 1)));
}

TEST(ClassScores, WithoutWindowsThereAreNoFigures) {
  EXPECT_THAT(ClassScores({"a", "b"}).Metrics(), IsEmpty());
}

}  // namespace
}  // namespace fieldloop::build
