// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/fleet_census.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::distribution {
namespace {

using ::testing::ElementsAre;

ModelCount Count(const std::string& project, const std::string& model, std::int64_t devices) {
  return {.project = project, .model = model, .devices = devices};
}

TEST(LargestModelsTest, TheLargestKeepTheirNamesAndTheRestOfAProjectIsOneSum) {
  EXPECT_THAT(LargestModels({Count("p", "m1", 1), Count("q", "m2", 5), Count("p", "m3", 9),
                             Count("p", "m4", 3), Count("q", "m5", 2)},
                            2),
              ElementsAre(Count("p", "m3", 9), Count("q", "m2", 5), Count("p", "other", 4),
                          Count("q", "other", 2)));
}

TEST(LargestModelsTest, DevicesWithoutAModelAreAlwaysCountedApart) {
  EXPECT_THAT(LargestModels({Count("p", "m1", 5), Count("p", "m2", 4), Count("p", "none", 1)}, 1),
              ElementsAre(Count("p", "m1", 5), Count("p", "none", 1), Count("p", "other", 4)));
}

TEST(LargestModelsTest, FewModelsHaveNoOthers) {
  EXPECT_THAT(LargestModels({Count("p", "m1", 5)}, 20), ElementsAre(Count("p", "m1", 5)));
}

}  // namespace
}  // namespace fieldloop::distribution
