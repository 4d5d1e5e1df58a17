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
  EXPECT_THAT(input->learning.dense_units, ElementsAre(32, 16));
  EXPECT_EQ(input->learning.epochs, 60);
  EXPECT_EQ(input->learning.batch_size, 64);
  EXPECT_EQ(input->learning.augmentation.copies, 0);
  EXPECT_EQ(input->window_values(), 150);
}

TEST(TrainInputTest, ReadsEveryField) {
  Json json = ValidInput();
  json["seed"] = 4294967295;
  json["reference_channels"] = {"x rms"};
  json["learning"] = {{"dense_units", {8}},
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
                        {"half_turns", true}}},
                      {"balance_classes", true},
                      {"device_weight", 0.5}};
  const auto input = ParseTrainInput(json.dump());
  ASSERT_THAT(input, IsOk());
  EXPECT_EQ(input->seed, 4294967295U);
  EXPECT_THAT(input->reference_channels, ElementsAre("x rms"));
  const LearningOptions& learning = input->learning;
  EXPECT_THAT(learning.dense_units, ElementsAre(8));
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
  json["learning"] = {
      {"dense_units", Json::array()}, {"epochs", 0}, {"learning_rate", 0}, {"batch_size", 0}};
  const auto input = ParseTrainInput(json.dump());
  ASSERT_THAT(input, IsOk());
  EXPECT_THAT(input->learning.dense_units, ElementsAre(32, 16));
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
