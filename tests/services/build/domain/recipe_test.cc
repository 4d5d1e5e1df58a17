// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/recipe.h"

#include <functional>
#include <limits>
#include <map>
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

// Every block and every field of learning that FullRecipe has not.
ImpulseRecipe AudioRecipe() {
  ImpulseRecipe recipe;
  recipe.window = {
      .length = 8000, .stride = 4000, .frequency_hz = 8000, .axes = {"audio"}, .pad_short = true};
  DspBlock mfe{.kind = BlockKind::kMfe, .scale = 1.0F / 32768};
  mfe.frame_length = 160;
  mfe.frame_stride = 80;
  mfe.fft_length = 256;
  mfe.filter_count = 40;
  mfe.noise_floor_db = -52;
  DspBlock mfcc = mfe;
  mfcc.kind = BlockKind::kMfcc;
  mfcc.noise_floor_db = 0;
  mfcc.low_hz = 80;
  mfcc.high_hz = 3800;
  mfcc.pre_emphasis = 0.98F;
  mfcc.coefficient_count = 13;
  mfcc.normalisation_frames = 101;
  DspBlock spectral{.kind = BlockKind::kSpectral, .fft_length = 64};
  spectral.filter = {.kind = FilterKind::kHighPass, .cutoff_hz = 100, .order = 4};
  recipe.blocks = {mfe, mfcc, spectral};
  recipe.learning.network = Network::kConv2d;
  recipe.learning.conv_blocks = {{.filters = 16, .stride = 2}, {.filters = 32, .pool = 2}};
  recipe.learning.augmentation = {
      .copies = 1, .time_shift = 800, .time_mask = 5, .frequency_mask = 3};
  recipe.learning.early_stopping_patience = 10;
  recipe.learning.validation_share = 0.25;
  recipe.learning.anomaly = {.method = AnomalyMethod::kGaussianMixture, .components = 4};
  recipe.learning.budget = {.flash_kb = 64, .ram_kb = 32};
  recipe.learning.parameters = {{"activation", "relu \"6\""}, {"empty", ""}};
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
  EXPECT_EQ(complete->learning.validation_share, 0);
}

TEST(Recipe, WhatAudioLeavesOutHasTheDefaultsOfTheContract) {
  ImpulseRecipe recipe = AudioRecipe();
  recipe.blocks[2].filter.order = 0;
  recipe.learning.validation_share = 0;
  const absl::StatusOr<ImpulseRecipe> complete = CompleteRecipe(recipe);
  ASSERT_THAT(complete, IsOk());
  EXPECT_EQ(complete->blocks[0].high_hz, 4000);
  EXPECT_EQ(complete->blocks[2].filter.order, 6);
  EXPECT_THAT(complete->learning.dense_units, ::testing::IsEmpty());
  EXPECT_EQ(complete->learning.conv_blocks[0],
            (ConvBlock{.filters = 16, .kernel = 3, .stride = 2, .pool = 1}));
  EXPECT_EQ(complete->learning.validation_share, 0.2);
  EXPECT_EQ(complete->learning.anomaly->features, 8);
  EXPECT_EQ(complete->learning.anomaly->quantile, 0.99);
  EXPECT_EQ(complete->learning.budget->trials, 10);
}

TEST(Recipe, TheDigestOfARecipeWithoutNewFieldsStaysWhatItWas) {
  EXPECT_EQ(RecipeDigest(*CompleteRecipe(FullRecipe())),
            "0f3100e1a8350d5f2f10145e543b6bde5314637f584344f8c729ffbfc891c5e2");
}

TEST(Recipe, SpelledOutDefaultsAreTheSameRecipe) {
  ImpulseRecipe recipe;
  recipe.window = {.length = 128, .stride = 64, .frequency_hz = 50, .axes = {"x"}};
  recipe.blocks = {{.kind = BlockKind::kRaw}};
  const ImpulseRecipe complete = *CompleteRecipe(recipe);
  EXPECT_EQ(RecipeDigest(*CompleteRecipe(complete)), RecipeDigest(complete));
}

TEST(Recipe, TheTextReadsBackAsTheSameRecipe) {
  for (const ImpulseRecipe& given : {FullRecipe(), AudioRecipe()}) {
    const ImpulseRecipe recipe = *CompleteRecipe(given);
    const absl::StatusOr<ImpulseRecipe> back = ParseRecipeText(RecipeText(recipe));
    ASSERT_THAT(back, IsOk());
    EXPECT_EQ(*back, recipe);
  }
}

TEST(Recipe, TextThatIsNotOursIsDataLoss) {
  EXPECT_THAT(ParseRecipeText(""), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRecipeText("fieldloop.recipe.v2\n"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRecipeText("fieldloop.recipe.v1\nwindow 1 x 3\n"),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseRecipeText("fieldloop.recipe.v1\nnetwork conv_9d\n"),
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

void ExpectRefusedOrAnotherDigest(ImpulseRecipe recipe, const Change& change) {
  const std::string digest = RecipeDigest(*CompleteRecipe(recipe));
  change.apply(recipe);
  const absl::StatusOr<ImpulseRecipe> complete = CompleteRecipe(recipe);
  if (change.field.empty()) {
    ASSERT_THAT(complete, IsOk());
    EXPECT_NE(RecipeDigest(*complete), digest);
  } else {
    ASSERT_THAT(complete, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(complete.status().message()),
                StartsWith("recipe." + change.field + ": got "));
  }
}

class ChangedRecipe : public ::testing::TestWithParam<Change> {};

TEST_P(ChangedRecipe, IsRefusedByTheNameOfItsFieldOrHasAnotherDigest) {
  ExpectRefusedOrAnotherDigest(FullRecipe(), GetParam());
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
        Change{"OtherPurity", "", [](auto& r) { r.label_purity = 0.81; }},
        Change{"ConvolutionsInADenseNetwork", "learning.conv_blocks",
               [](auto& r) { r.learning.conv_blocks = {{.filters = 8}}; }},
        Change{"ValidationForNothing", "learning.validation_share",
               [](auto& r) { r.learning.validation_share = 0.2; }}),
    [](const auto& param_info) { return param_info.param.name; });

class ChangedAudioRecipe : public ::testing::TestWithParam<Change> {};

TEST_P(ChangedAudioRecipe, IsRefusedByTheNameOfItsFieldOrHasAnotherDigest) {
  ExpectRefusedOrAnotherDigest(AudioRecipe(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Recipe, ChangedAudioRecipe,
    ::testing::Values(
        Change{"ShortFrame", "blocks[0].frame_length",
               [](auto& r) { r.blocks[0].frame_length = 1; }},
        Change{"FrameLongerThanTheWindow", "blocks[0].frame_length",
               [](auto& r) { r.window.length = r.window.stride = 100; }},
        Change{"NoFrameStride", "blocks[0].frame_stride",
               [](auto& r) { r.blocks[0].frame_stride = 0; }},
        Change{"MelFft", "blocks[0].fft_length", [](auto& r) { r.blocks[0].fft_length = 4096; }},
        Change{"OneFilter", "blocks[0].filter_count",
               [](auto& r) { r.blocks[0].filter_count = 1; }},
        Change{"NegativeLow", "blocks[0].low_hz", [](auto& r) { r.blocks[0].low_hz = -1; }},
        Change{"LowAboveHigh", "blocks[1].low_hz", [](auto& r) { r.blocks[1].low_hz = 3900; }},
        Change{"AboveHalfTheRate", "blocks[1].high_hz",
               [](auto& r) { r.blocks[1].high_hz = 4001; }},
        Change{"NoiseFloor", "blocks[0].noise_floor_db",
               [](auto& r) { r.blocks[0].noise_floor_db = 3; }},
        Change{"PreEmphasis", "blocks[0].pre_emphasis",
               [](auto& r) { r.blocks[0].pre_emphasis = 1; }},
        Change{"Coefficients", "blocks[1].coefficient_count",
               [](auto& r) { r.blocks[1].coefficient_count = 41; }},
        Change{"EvenNormalisation", "blocks[1].normalisation_frames",
               [](auto& r) { r.blocks[1].normalisation_frames = 100; }},
        Change{"CutoffAtHalfTheRate", "blocks[2].filter.cutoff_hz",
               [](auto& r) { r.blocks[2].filter.cutoff_hz = 4000; }},
        Change{"OddOrder", "blocks[2].filter.order", [](auto& r) { r.blocks[2].filter.order = 3; }},
        Change{"NoFilters", "learning.conv_blocks[1].filters",
               [](auto& r) { r.learning.conv_blocks[1].filters = 0; }},
        Change{"WideKernel", "learning.conv_blocks[0].kernel",
               [](auto& r) { r.learning.conv_blocks[0].kernel = 16; }},
        Change{"LongStride", "learning.conv_blocks[0].stride",
               [](auto& r) { r.learning.conv_blocks[0].stride = 5; }},
        Change{"WidePool", "learning.conv_blocks[0].pool",
               [](auto& r) { r.learning.conv_blocks[0].pool = 9; }},
        Change{"SevenBlocks", "learning.conv_blocks",
               [](auto& r) { r.learning.conv_blocks.resize(7, {.filters = 8}); }},
        Change{"Shift", "learning.augmentation.time_shift",
               [](auto& r) { r.learning.augmentation.time_shift = -1; }},
        Change{"TimeMask", "learning.augmentation.time_mask",
               [](auto& r) { r.learning.augmentation.time_mask = 65; }},
        Change{"FrequencyMask", "learning.augmentation.frequency_mask",
               [](auto& r) { r.learning.augmentation.frequency_mask = 65; }},
        Change{"Patience", "learning.early_stopping_patience",
               [](auto& r) { r.learning.early_stopping_patience = 1001; }},
        Change{"Share", "learning.validation_share",
               [](auto& r) { r.learning.validation_share = 0.6; }},
        Change{"Components", "learning.anomaly.components",
               [](auto& r) { r.learning.anomaly->components = 33; }},
        Change{"AnomalyFeatures", "learning.anomaly.features",
               [](auto& r) { r.learning.anomaly->features = 33; }},
        Change{"Quantile", "learning.anomaly.quantile",
               [](auto& r) { r.learning.anomaly->quantile = 1; }},
        Change{"BudgetOfNothing", "learning.budget", [](auto& r) { r.learning.budget = Budget{}; }},
        Change{"NegativeFlash", "learning.budget.flash_kb",
               [](auto& r) { r.learning.budget->flash_kb = -1; }},
        Change{"Trials", "learning.budget.trials", [](auto& r) { r.learning.budget->trials = 51; }},
        Change{"ParameterName", "learning.parameters",
               [](auto& r) { r.learning.parameters["Upper"] = "1"; }},
        Change{"ParameterThatIsAnOption", "learning.parameters",
               [](auto& r) { r.learning.parameters["-x"] = "1"; }},
        Change{"ParameterOfTheContract", "learning.parameters",
               [](auto& r) { r.learning.parameters["out-directory"] = "/etc"; }},
        Change{"ParameterValue", "learning.parameters[activation]",
               [](auto& r) { r.learning.parameters["activation"] = std::string(201, 'x'); }},
        Change{"ParameterWithAZero", "learning.parameters[activation]",
               [](auto& r) { r.learning.parameters["activation"] = std::string(1, '\0'); }},
        Change{"OtherFilterKind", "",
               [](auto& r) { r.blocks[2].filter.kind = FilterKind::kLowPass; }},
        Change{"NoFilter", "", [](auto& r) { r.blocks[2].filter = {}; }},
        Change{"OtherNetwork", "", [](auto& r) { r.learning.network = Network::kConv1d; }},
        Change{"OtherPool", "", [](auto& r) { r.learning.conv_blocks[0].pool = 2; }},
        Change{"OtherMask", "", [](auto& r) { r.learning.augmentation.time_mask = 4; }},
        Change{"OtherPatience", "", [](auto& r) { r.learning.early_stopping_patience = 11; }},
        Change{"NoAnomaly", "", [](auto& r) { r.learning.anomaly.reset(); }},
        Change{"NoBudget", "", [](auto& r) { r.learning.budget.reset(); }},
        Change{"OtherParameter", "", [](auto& r) { r.learning.parameters["empty"] = "no"; }}),
    [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace fieldloop::build
