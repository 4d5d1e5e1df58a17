// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_IMPULSE_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_IMPULSE_STORE_CONTRACT_H_

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/storage/store_under_test.h"
#include "tests/services/build/support/recipes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// What every ImpulseStore must do.
class ImpulseStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static Impulse Make(const std::string& id, int epochs, const std::string& project = "motor") {
    Impulse impulse;
    impulse.project = project;
    impulse.id = id;
    impulse.recipe = SmallRecipe();
    impulse.recipe.learning.epochs = epochs;
    impulse.digest = RecipeDigest(impulse.recipe);
    impulse.create_time = absl::FromUnixSeconds(epochs);
    return impulse;
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
  ImpulseStore& store_ = stores_->impulses();
};

TEST_P(ImpulseStoreContract, GetReturnsWhatPutStored) {
  const absl::StatusOr<Impulse> stored = store_.Put(Make("gait", 3));
  ASSERT_THAT(stored, ::fieldloop::testing::IsOk());
  EXPECT_EQ(stored->version, 1);
  EXPECT_EQ(*store_.Get("motor", "gait", 1), *stored);
}

TEST_P(ImpulseStoreContract, AnotherRecipeIsTheNextVersionAndTheOldOneStays) {
  ASSERT_THAT(store_.Put(Make("gait", 3)), ::fieldloop::testing::IsOk());
  EXPECT_EQ(store_.Put(Make("gait", 4))->version, 2);
  EXPECT_EQ(store_.Get("motor", "gait", 0)->recipe.learning.epochs, 4);
  EXPECT_EQ(store_.Get("motor", "gait", 1)->recipe.learning.epochs, 3);
}

TEST_P(ImpulseStoreContract, TheSameRecipeIsNoNewVersion) {
  ASSERT_THAT(store_.Put(Make("gait", 3)), ::fieldloop::testing::IsOk());
  Impulse again = Make("gait", 3);
  again.create_time = absl::FromUnixSeconds(99);
  const absl::StatusOr<Impulse> stored = store_.Put(again);
  EXPECT_EQ(stored->version, 1);
  EXPECT_EQ(stored->create_time, absl::FromUnixSeconds(3));
  // Going back to an older recipe is a version of its own.
  ASSERT_THAT(store_.Put(Make("gait", 4)), ::fieldloop::testing::IsOk());
  EXPECT_EQ(store_.Put(Make("gait", 3))->version, 3);
}

TEST_P(ImpulseStoreContract, WhatIsNotThereIsNotFound) {
  ASSERT_THAT(store_.Put(Make("gait", 3)), ::fieldloop::testing::IsOk());
  for (const auto& [project, id, version] : std::vector<std::tuple<std::string, std::string, int>>{
           {"motor", "gait", 2}, {"motor", "none", 0}, {"other", "gait", 1}}) {
    EXPECT_THAT(store_.Get(project, id, version),
                ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_P(ImpulseStoreContract, ListGivesTheNewestOfEachByIdWithinTheProject) {
  for (const char* id : {"c", "a", "b"}) {
    ASSERT_THAT(store_.Put(Make(id, 1)), ::fieldloop::testing::IsOk());
  }
  ASSERT_THAT(store_.Put(Make("a", 2)), ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_.Put(Make("aa", 1, "other")), ::fieldloop::testing::IsOk());
  std::vector<std::string> ids;
  const auto impulses = store_.List("motor", "", 2);
  ASSERT_THAT(impulses, ::fieldloop::testing::IsOk());
  for (const Impulse& impulse : *impulses) {
    ids.push_back(impulse.id + std::to_string(impulse.version));
  }
  EXPECT_THAT(ids, ::testing::ElementsAre("a2", "b1"));
  EXPECT_EQ(store_.List("motor", "b", 2)->size(), 1U);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ImpulseStoreContract);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_IMPULSE_STORE_CONTRACT_H_
