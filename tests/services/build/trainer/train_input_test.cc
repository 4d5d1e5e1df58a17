// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/train_input.h"

#include <ostream>
#include <string>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

std::string ImpulseText(unsigned format = 1) {
  fieldloop::agent::v1::Impulse impulse;
  impulse.set_format(format);
  impulse.mutable_window()->set_length(50);
  for (const char* axis : {"x", "y", "z"}) {
    impulse.mutable_window()->add_axes(axis);
  }
  impulse.add_classes("idle");
  impulse.add_classes("shake");
  impulse.mutable_standardisation()->set_clip(3);
  return absl::Base64Escape(impulse.SerializeAsString());
}

Json ValidInput() {
  return {{"format", 1}, {"classes", {"idle", "shake"}}, {"impulse", ImpulseText()}};
}

TEST(TrainInputTest, WhatIsMissingHasItsDefault) {
  const auto input = ParseTrainInput(ValidInput().dump());
  ASSERT_THAT(input, IsOk());
  EXPECT_EQ(input->seed, 1);
  EXPECT_EQ(input->learning.network.kind, NetworkKind::kDense);
  EXPECT_FALSE(input->learning.anomaly.has_value());
  EXPECT_FALSE(input->learning.budget.has_value());
  EXPECT_EQ(input->learning.epochs, 60);
  EXPECT_EQ(input->learning.batch_size, 64);
  EXPECT_EQ(input->learning.augmentation.copies, 0);
  EXPECT_EQ(input->window_values(), 150);
}

TEST(TrainInputTest, ReadsEveryField) {
  Json json = ValidInput();
  json["seed"] = 4294967295;
  json["reference_channels"] = {"x rms"};
  json["parent_model"] = "parent.tflite";
  json["learning"] = {
      {"network", "conv_2d"},
      {"conv_blocks",
       {{{"filters", 16}, {"kernel", 5}, {"stride", 2}, {"pool", 2}},
        {{"filters", 8}, {"kernel", 0}}}},
      {"early_stopping_patience", 7},
      {"validation_share", 0.3},
      {"anomaly",
       {{"method", "gaussian_mixture"}, {"components", 4}, {"features", 3}, {"quantile", 0.9}}},
      {"budget", {{"flash_kb", 64.5}, {"ram_kb", 16}, {"mega_instructions", 2.5}, {"trials", 3}}},
      {"dense_units", {8}},
      {"epochs", 3},
      {"learning_rate", 0.01},
      {"batch_size", 16},
      {"dropout", 0.25},
      {"weight_decay", 0},
      {"augmentation",
       {{"copies", 2},
        {"rotation_degrees", 15},
        {"gain", 0.1},
        {"noise", 0.05},
        {"half_turns", true},
        {"time_shift", 800},
        {"time_mask", 5},
        {"frequency_mask", 3}}},
      {"balance_classes", true},
      {"device_weight", 0.5}};
  const auto input = ParseTrainInput(json.dump());
  ASSERT_THAT(input, IsOk());
  EXPECT_EQ(input->seed, 4294967295U);
  EXPECT_THAT(input->reference_channels, ElementsAre("x rms"));
  const LearningOptions& learning = input->learning;
  EXPECT_EQ(input->parent_model, "parent.tflite");
  EXPECT_EQ(learning.network.kind, NetworkKind::kConv2d);
  EXPECT_THAT(learning.network.dense_units, ElementsAre(8));
  ASSERT_EQ(learning.network.conv_blocks.size(), 2);
  EXPECT_EQ(learning.network.conv_blocks[0].filters, 16);
  EXPECT_EQ(learning.network.conv_blocks[0].kernel, 5);
  EXPECT_EQ(learning.network.conv_blocks[0].stride, 2);
  EXPECT_EQ(learning.network.conv_blocks[0].pool, 2);
  EXPECT_EQ(learning.network.conv_blocks[1].kernel, 3);
  EXPECT_EQ(learning.network.conv_blocks[1].pool, 1);
  EXPECT_EQ(learning.early_stopping_patience, 7);
  EXPECT_EQ(learning.validation_share, 0.3);
  EXPECT_EQ(learning.anomaly->method, AnomalyMethod::kGaussianMixture);
  EXPECT_EQ(learning.anomaly->components, 4);
  EXPECT_EQ(learning.anomaly->features, 3);
  EXPECT_EQ(learning.anomaly->quantile, 0.9);
  EXPECT_EQ(learning.budget->flash_kb, 64.5);
  EXPECT_EQ(learning.budget->ram_kb, 16);
  EXPECT_EQ(learning.budget->mega_instructions, 2.5);
  EXPECT_EQ(learning.budget->trials, 3);
  EXPECT_EQ(learning.augmentation.time_shift, 800);
  EXPECT_EQ(learning.augmentation.time_mask, 5);
  EXPECT_EQ(learning.augmentation.frequency_mask, 3);
  EXPECT_EQ(learning.epochs, 3);
  EXPECT_EQ(learning.learning_rate, 0.01);
  EXPECT_EQ(learning.batch_size, 16);
  EXPECT_EQ(learning.dropout, 0.25);
  EXPECT_EQ(learning.weight_decay, 0);
  EXPECT_EQ(learning.augmentation.copies, 2);
  EXPECT_EQ(learning.augmentation.rotation_degrees, 15);
  EXPECT_EQ(learning.augmentation.gain, 0.1);
  EXPECT_EQ(learning.augmentation.noise, 0.05);
  EXPECT_TRUE(learning.augmentation.half_turns);
  EXPECT_TRUE(learning.balance_classes);
  EXPECT_EQ(learning.device_weight, 0.5);
}

TEST(TrainInputTest, ZeroOfWhatCannotBeZeroMeansTheDefault) {
  Json json = ValidInput();
  json["learning"] = {{"dense_units", Json::array()}, {"epochs", 0},
                      {"learning_rate", 0},           {"batch_size", 0},
                      {"validation_share", 0},        {"conv_blocks", Json::array()}};
  json["learning"]["anomaly"] = {{"components", 0}, {"features", 0}, {"quantile", 0}};
  json["learning"]["budget"] = {{"ram_kb", 8}, {"trials", 0}};
  const auto input = ParseTrainInput(json.dump());
  ASSERT_THAT(input, IsOk());
  EXPECT_EQ(input->learning.validation_share, 0.2);
  EXPECT_EQ(input->learning.anomaly->components, 16);
  EXPECT_EQ(input->learning.anomaly->features, 8);
  EXPECT_EQ(input->learning.anomaly->quantile, 0.99);
  EXPECT_EQ(input->learning.budget->trials, 10);
  EXPECT_EQ(input->learning.epochs, 60);
  EXPECT_EQ(input->learning.learning_rate, 0.002);
  EXPECT_EQ(input->learning.batch_size, 64);
}

TEST(TrainInputTest, ForgetsWhatTrainingFindsOut) {
  const auto input = ParseTrainInput(ValidInput().dump());
  ASSERT_THAT(input, IsOk());
  EXPECT_FALSE(input->impulse.has_standardisation());
}

struct BadInput {
  const char* name;
  void (*spoil)(Json&);
  const char* expected;

  friend void PrintTo(const BadInput& bad, std::ostream* os) { *os << bad.name; }
};
class BadTrainInputTest : public ::testing::TestWithParam<BadInput> {};

TEST_P(BadTrainInputTest, NamesFileAndFieldAndWhatWasExpected) {
  Json json = ValidInput();
  GetParam().spoil(json);
  const auto input = ParseTrainInput(json.dump());
  EXPECT_THAT(input, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(input.status().message()), HasSubstr("train_input.json"));
  EXPECT_THAT(std::string(input.status().message()), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadTrainInputTest,
    ::testing::Values(
        BadInput{"NotAnObject", [](Json& j) { j = Json::array(); }, "want a JSON object"},
        BadInput{"Format", [](Json& j) { j["format"] = 2; }, "format: got 2, want 1"},
        BadInput{"OneClass", [](Json& j) { j["classes"] = {"idle"}; }, "classes: got 1 names"},
        BadInput{"ClassTwice",
                 [](Json& j) {
                   j["classes"] = {"a", "a"};
                 },
                 "each name once"},
        BadInput{"ClassesOtherThanImpulse",
                 [](Json& j) {
                   j["classes"] = {"shake", "idle"};
                 },
                 "impulse.classes"},
        BadInput{"NoImpulse", [](Json& j) { j.erase("impulse"); }, "impulse: got nothing"},
        BadInput{"ImpulseNotBase64", [](Json& j) { j["impulse"] = "%%%"; }, "in base64"},
        BadInput{"ImpulseFormat", [](Json& j) { j["impulse"] = ImpulseText(9); },
                 "impulse.format: got 9, want 1"},
        BadInput{"LearningNotAnObject", [](Json& j) { j["learning"] = 3; }, "learning: got 3"},
        BadInput{"Epochs", [](Json& j) { j["learning"]["epochs"] = 1001; },
                 "learning.epochs: got 1001, want 0 to 1000"},
        BadInput{"HalfAnEpoch", [](Json& j) { j["learning"]["epochs"] = 1.5; }, "whole number"},
        BadInput{"RateIsText", [](Json& j) { j["learning"]["learning_rate"] = "fast"; },
                 "learning.learning_rate: got \"fast\""},
        BadInput{"TooManyLayers",
                 [](Json& j) {
                   j["learning"]["dense_units"] = {1, 1, 1, 1, 1};
                 },
                 "learning.dense_units"},
        BadInput{"LayerTooWide", [](Json& j) { j["learning"]["dense_units"] = {513}; },
                 "learning.dense_units: got [513]"},
        BadInput{"Copies", [](Json& j) { j["learning"]["augmentation"]["copies"] = 21; },
                 "learning.augmentation.copies: got 21, want 0 to 20"},
        BadInput{"HalfTurns", [](Json& j) { j["learning"]["augmentation"]["half_turns"] = 1; },
                 "want true or false"},
        BadInput{"Network", [](Json& j) { j["learning"]["network"] = "transformer"; },
                 "learning.network: got \"transformer\", want dense, conv_1d, conv_2d"},
        BadInput{"BlocksOfADenseNetwork",
                 [](Json& j) {
                   j["learning"]["conv_blocks"] = {{{"filters", 8}}};
                 },
                 "learning.conv_blocks: got 1 blocks, want none in a dense network"},
        BadInput{"BlockWithoutFilters",
                 [](Json& j) {
                   j["learning"]["network"] = "conv_1d";
                   j["learning"]["conv_blocks"] = {{{"kernel", 3}}};
                 },
                 "learning.conv_blocks[0].filters: got nothing"},
        BadInput{"Kernel",
                 [](Json& j) {
                   j["learning"]["network"] = "conv_1d";
                   j["learning"]["conv_blocks"] = {{{"filters", 8}, {"kernel", 16}}};
                 },
                 "learning.conv_blocks[0].kernel: got 16"},
        BadInput{"ValidationShare", [](Json& j) { j["learning"]["validation_share"] = 0.01; },
                 "learning.validation_share: got 0.01, want 0.05 to 0.5"},
        BadInput{"AnomalyMethod", [](Json& j) { j["learning"]["anomaly"]["method"] = "guess"; },
                 "learning.anomaly.method: got \"guess\", want k_means, gaussian_mixture"},
        BadInput{"BudgetWithoutLimit", [](Json& j) { j["learning"]["budget"]["trials"] = 3; },
                 "learning.budget: got no limit, want flash_kb, ram_kb or mega_instructions"},
        BadInput{"ParentOutsideOfTheFolder", [](Json& j) { j["parent_model"] = "../model.tflite"; },
                 "parent_model: got \"../model.tflite\""},
        BadInput{"TooManyChannelsBesideAnAnomalyBlock",
                 [](Json& j) {
                   j["reference_channels"] = {"a", "b", "c", "d"};
                   j["learning"]["anomaly"] = Json::object();
                 },
                 "reference_channels: got 4 names, want at most 3"},
        BadInput{"TooManyChannels",
                 [](Json& j) {
                   j["reference_channels"] = {"a", "b", "c", "d", "e"};
                 },
                 "reference_channels: got 5 names"}),
    [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(TrainInputTest, RefusesWhatIsNotJson) {
  EXPECT_THAT(ParseTrainInput("{"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseTrainInput(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop::build::trainer
