// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/recipe_differences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/transport/proto_conversion.h"
#include "tests/services/build/support/recipes.h"

namespace fieldloop::build {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RecipeDifferences, EqualRecipesHaveNone) {
  EXPECT_THAT(RecipeDifferences(ToProto(SmallRecipe()), ToProto(SmallRecipe())), IsEmpty());
}

TEST(RecipeDifferences, EachFieldIsNamedByItsPathWithBothValues) {
  const v1::ImpulseRecipe first = ToProto(SmallRecipe());
  v1::ImpulseRecipe second = first;
  second.mutable_learning()->set_epochs(30);
  second.mutable_learning()->mutable_augmentation()->set_noise(0.5);
  second.mutable_learning()->clear_dense_units();
  second.mutable_learning()->add_dense_units(8);
  second.mutable_window()->add_axes("z");
  second.add_blocks()->mutable_flatten()->set_without_shape(true);
  EXPECT_THAT(RecipeDifferences(first, second),
              ElementsAre("blocks[1]: none -> set", "blocks[1].flatten: none -> set",
                          "blocks[1].flatten.scale: none -> 0",
                          "blocks[1].flatten.without_shape: none -> true",
                          "learning.augmentation.noise: 0 -> 0.5",
                          "learning.dense_units: [32, 16] -> [8]", "learning.epochs: 60 -> 30",
                          "window.axes: [\"x\", \"y\"] -> [\"x\", \"y\", \"z\"]"));
}

}  // namespace
}  // namespace fieldloop::build
