// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::build::trainer {
namespace {

using ::testing::DoubleEq;

TEST(ScoresTest, BalancedAccuracyIsTheMeanRecallOfTheClassesThatOccur) {
  Scores scores(3);
  scores.Add(0, 0);
  scores.Add(0, 0);
  scores.Add(0, 0);
  scores.Add(1, 0);
  scores.Add(1, 1);
  EXPECT_THAT(scores.accuracy(), DoubleEq(0.8));
  EXPECT_THAT(scores.balanced_accuracy(), DoubleEq(0.75));
  EXPECT_FALSE(scores.occurs(2));
  EXPECT_THAT(scores.recall(1), DoubleEq(0.5));
}

}  // namespace
}  // namespace fieldloop::build::trainer
