// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/recipe.h"

#include <functional>
#include <limits>
#include <ostream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/support/recipes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::StartsWith;

ImpulseRecipe FullRecipe() {
  ImpulseRecipe recipe;
  recipe.window = {
      .length = 128, .stride = 64, .frequency_hz = 62.5F, .axes = {"x acc", "y\n", "z"}};
  recipe.magnitudes = {{.first_axis = 0, .count = 3}, {.first_axis = 1, .count = 2}};
  recipe.blocks = {{.kind = BlockKind::kFlatten, .scale = 0.1F, .without_shape = true},
                   {.kind = BlockKind::kSpectral, .fft_length = 64, .average_frames = true},
                   {.kind = BlockKind::kRaw, .scale = 2}};
  recipe.learning = {.dense_units = {40, 20, 10},
                     .epochs = 7,
                     .learning_rate = 0.1,
                     .batch_size = 32,
                     .dropout = 0.25,
                     .weight_decay = 1e-5,
                     .augmentation = {.copies = 2,
                                      .rotation_degrees = 15,
                                      .gain = 0.1,
                                      .noise = 0.05,
                                      .half_turns = true},
                     .balance_classes = true,
                     .group_key = "wearer id",
                     .device_weight = 0.5,
                     .training_stride = 16};
  recipe.label_purity = 0.8;
  return recipe;
}

TEST(Recipe, WhatIsLeftOutHasTheDefaultsOfTheContract) {
  ImpulseRecipe recipe;
  recipe.window = {.length = 128, .stride = 64, .frequency_hz = 50, .axes = {"x"}};
  recipe.blocks = {{.kind = BlockKind::kRaw}};
  const absl::StatusOr<ImpulseRecipe> complete = CompleteRecipe(recipe);
  ASSERT_THAT(complete, IsOk());
  EXPECT_THAT(complete->learning.dense_units, ::testing::ElementsAre(32, 16));
  EXPECT_EQ(complete->learning.epochs, 60);
  EXPECT_EQ(complete->learning.learning_rate, 0.002);
  EXPECT_EQ(complete->learning.batch_size, 64);
  EXPECT_EQ(complete->learning.weight_decay, 0.0001);
  EXPECT_EQ(complete->label_purity, 1);
  EXPECT_EQ(complete->blocks[0].scale, 1);
  EXPECT_EQ(TrainingStride(*complete), 64);
}

TEST(Recipe, SpelledOutDefaultsAreTheSameRecipe) {
  ImpulseRecipe recipe;
  recipe.window = {.length = 128, .stride = 64, .frequency_hz = 50, .axes = {"x"}};
  recipe.blocks = {{.kind = BlockKind::kRaw}};
  const ImpulseRecipe complete = *CompleteRecipe(recipe);
  EXPECT_EQ(RecipeDigest(*CompleteRecipe(complete)), RecipeDigest(complete));
}

TEST(Recipe, TheTextReadsBackAsTheSameRecipe) {
  const ImpulseRecipe recipe = *CompleteRecipe(FullRecipe());
  const absl::StatusOr<ImpulseRecipe> back = ParseRecipeText(RecipeText(recipe));
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(*back, recipe);
}

TEST(Recipe, TextThatIsNotOursIsDataLoss) {
  EXPECT_THAT(ParseRecipeText(""), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRecipeText("fieldloop.recipe.v2\n"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRecipeText("fieldloop.recipe.v1\nwindow 1 x 3\n"),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRecipeText("fieldloop.recipe.v1\nfuture 1\n"),
              StatusIs(absl::StatusCode::kDataLoss));
}

struct Change {
  std::string name;
  std::string field;  // Empty: the recipe stays good, and its digest changes.
  std::function<void(ImpulseRecipe&)> apply;
  friend void PrintTo(const Change& change, std::ostream* os) { *os << change.name; }
};

class ChangedRecipe : public ::testing::TestWithParam<Change> {};

TEST_P(ChangedRecipe, IsRefusedByTheNameOfItsFieldOrHasAnotherDigest) {
  ImpulseRecipe recipe = FullRecipe();
  const std::string digest = RecipeDigest(*CompleteRecipe(recipe));
  GetParam().apply(recipe);
  const absl::StatusOr<ImpulseRecipe> complete = CompleteRecipe(recipe);
  if (GetParam().field.empty()) {
    ASSERT_THAT(complete, IsOk());
    EXPECT_NE(RecipeDigest(*complete), digest);
  } else {
    ASSERT_THAT(complete, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(complete.status().message()),
                StartsWith("recipe." + GetParam().field + ": got "));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Recipe, ChangedRecipe,
    ::testing::Values(
        Change{"NoLength", "window.length", [](auto& r) { r.window.length = 0; }},
        Change{"LongWindow", "window.length", [](auto& r) { r.window.length = 65536; }},
        Change{"NoStride", "window.stride", [](auto& r) { r.window.stride = 0; }},
        Change{"StrideAboveLength", "window.stride", [](auto& r) { r.window.stride = 129; }},
        Change{"NoFrequency", "window.frequency_hz", [](auto& r) { r.window.frequency_hz = 0; }},
        Change{"FrequencyIsNoNumber", "window.frequency_hz",
               [](auto& r) { r.window.frequency_hz = std::numeric_limits<float>::quiet_NaN(); }},
        Change{"NoAxes", "window.axes", [](auto& r) { r.window.axes.clear(); }},
        Change{"AxisTwice", "window.axes[1]",
               [](auto& r) { r.window.axes[1] = "z", r.window.axes[0] = "z"; }},
        Change{"LongAxis", "window.axes[2]",
               [](auto& r) { r.window.axes[2] = std::string(24, 'a'); }},
        Change{"MagnitudeOutside", "magnitudes[0]",
               [](auto& r) { r.magnitudes[0].first_axis = 1; }},
        Change{"MagnitudeOfOne", "magnitudes[0].count", [](auto& r) { r.magnitudes[0].count = 1; }},
        Change{"FiveMagnitudes", "magnitudes",
               [](auto& r) { r.magnitudes.resize(5, r.magnitudes[0]); }},
        Change{"NoBlocks", "blocks", [](auto& r) { r.blocks.clear(); }},
        Change{"BlockOfNothing", "blocks[1]", [](auto& r) { r.blocks[1] = {}; }},
        Change{"FftOfThree", "blocks[1].fft_length", [](auto& r) { r.blocks[1].fft_length = 24; }},
        Change{"LongFft", "blocks[1].fft_length", [](auto& r) { r.blocks[1].fft_length = 512; }},
        Change{"InfiniteScale", "blocks[2].scale",
               [](auto& r) { r.blocks[2].scale = std::numeric_limits<float>::infinity(); }},
        Change{"FiveLayers", "learning.dense_units",
               [](auto& r) {
                 r.learning.dense_units = {1, 1, 1, 1, 1};
               }},
        Change{"WideLayer", "learning.dense_units[1]",
               [](auto& r) { r.learning.dense_units[1] = 513; }},
        Change{"ManyEpochs", "learning.epochs", [](auto& r) { r.learning.epochs = 1001; }},
        Change{"NegativeRate", "learning.learning_rate",
               [](auto& r) { r.learning.learning_rate = -1; }},
        Change{"NegativeBatch", "learning.batch_size", [](auto& r) { r.learning.batch_size = -1; }},
        Change{"Dropout", "learning.dropout", [](auto& r) { r.learning.dropout = 0.95; }},
        Change{"Copies", "learning.augmentation.copies",
               [](auto& r) { r.learning.augmentation.copies = 21; }},
        Change{"Rotation", "learning.augmentation.rotation_degrees",
               [](auto& r) { r.learning.augmentation.rotation_degrees = 181; }},
        Change{"Gain", "learning.augmentation.gain",
               [](auto& r) { r.learning.augmentation.gain = 1.5; }},
        Change{"Noise", "learning.augmentation.noise",
               [](auto& r) { r.learning.augmentation.noise = -0.5; }},
        Change{"DeviceWeight", "learning.device_weight",
               [](auto& r) { r.learning.device_weight = -1; }},
        Change{"TrainingStride", "learning.training_stride",
               [](auto& r) { r.learning.training_stride = -1; }},
        Change{"Purity", "label_purity", [](auto& r) { r.label_purity = 0.5; }},
        Change{"PurityAboveOne", "label_purity", [](auto& r) { r.label_purity = 1.01; }},
        Change{"OtherAxisName", "", [](auto& r) { r.window.axes[2] = "w"; }},
        Change{"OtherBlockOrder", "", [](auto& r) { std::swap(r.blocks[0], r.blocks[1]); }},
        Change{"OtherEpochs", "", [](auto& r) { r.learning.epochs = 8; }},
        Change{"OtherNoise", "", [](auto& r) { r.learning.augmentation.noise = 0.051; }},
        Change{"OtherGroup", "", [](auto& r) { r.learning.group_key = ""; }},
        Change{"OtherPurity", "", [](auto& r) { r.label_purity = 0.81; }}),
    [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace fieldloop::build
