// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/parallel.h"

#include <cstddef>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::testing::Each;

TEST(RunInParallelTest, RunsEveryTaskOnce) {
  for (const int threads : {1, 3, 100}) {
    std::vector<int> runs(50, 0);
    EXPECT_THAT(RunInParallel(threads, runs.size(),
                              [&](std::size_t i) {
                                ++runs[i];
                                return absl::OkStatus();
                              }),
                IsOk());
    EXPECT_THAT(runs, Each(1));
  }
  EXPECT_THAT(RunInParallel(2, 0, [](std::size_t) { return absl::InternalError("run"); }), IsOk());
}

TEST(RunInParallelTest, AnErrorEndsItAndTheFirstInOrderIsReturned) {
  std::vector<int> runs(50, 0);
  const absl::Status status = RunInParallel(1, runs.size(), [&](std::size_t i) {
    ++runs[i];
    return i < 3 ? absl::OkStatus() : absl::InternalError(absl::StrCat("task ", i));
  });
  EXPECT_EQ(status.message(), "task 3");
  EXPECT_EQ(runs[3], 1);
  EXPECT_EQ(runs[4], 0);
}

}  // namespace
}  // namespace fieldloop::build::trainer
