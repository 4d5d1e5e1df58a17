// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/parent_model.h"

#include <cstddef>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/trainer/architecture.h"
#include "services/build/trainer/random.h"
#include "services/build/trainer/tflite_writer.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

constexpr FeatureShape kShape = {.steps = 12, .width = 3};

fieldloop::agent::v1::Impulse MakeImpulse() {
  fieldloop::agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(12);
  impulse.mutable_window()->set_stride(12);
  impulse.add_blocks()->mutable_raw();
  impulse.add_classes("a");
  impulse.add_classes("b");
  return impulse;
}

NetworkOptions Options(NetworkKind kind) {
  NetworkOptions options{.kind = kind, .conv_blocks = {}, .dense_units = {6}};
  if (kind != NetworkKind::kDense) {
    options.conv_blocks = {{.filters = 4, .kernel = 3, .stride = 2, .pool = 2},
                           {.filters = 5, .kernel = 3}};
  }
  return options;
}

Network Describe(NetworkKind kind) {
  const FeatureShape shape =
      kind == NetworkKind::kDense ? FeatureShape{.steps = 1, .width = 36} : kShape;
  return *DescribeNetwork(Options(kind), shape, 2);
}

QuantisedNetwork RandomNetwork(NetworkKind kind) {
  Network network = Describe(kind);
  Random random(1, 0);
  for (Layer& layer : network.layers) {
    for (std::size_t i = 0; i < layer.form.weight_count(); ++i) {
      layer.weights.push_back(static_cast<float>(random.Normal()));
    }
    for (std::size_t i = 0; i < layer.form.bias_count(); ++i) {
      layer.bias.push_back(static_cast<float>(random.Normal()));
    }
  }
  FeatureTable features(20, 36);
  for (float& value : features.values) {
    value = static_cast<float>(random.Normal());
  }
  return Quantise(network, features);
}

std::string Metadata() {
  auto impulse = MakeImpulse();
  impulse.mutable_window()->set_stride(6);
  for (int i = 0; i < 36; ++i) {
    impulse.mutable_standardisation()->add_mean(static_cast<float>(i));
    impulse.mutable_standardisation()->add_inverse_deviation(2);
  }
  impulse.mutable_standardisation()->set_clip(6);
  return impulse.SerializeAsString();
}

class ParentModelTest : public ::testing::TestWithParam<NetworkKind> {};

TEST_P(ParentModelTest, WhatWasWrittenIsReadBack) {
  const QuantisedNetwork written = RandomNetwork(GetParam());
  const auto parent =
      ReadParentModel(WriteTflite(written, Metadata()), Describe(GetParam()), MakeImpulse());
  ASSERT_THAT(parent, IsOk());
  EXPECT_EQ(WriteTflite(parent->network, Metadata()), WriteTflite(written, Metadata()));
  EXPECT_EQ(parent->standardisation.mean[35], 35);
  EXPECT_EQ(parent->standardisation.clip, 6);
}

TEST_P(ParentModelTest, AnotherNetworkIsRefused) {
  const std::string file = WriteTflite(RandomNetwork(GetParam()), Metadata());
  for (const NetworkKind kind : {NetworkKind::kDense, NetworkKind::kConv1d, NetworkKind::kConv2d}) {
    if (kind != GetParam()) {
      const auto parent = ReadParentModel(file, Describe(kind), MakeImpulse());
      EXPECT_THAT(parent, StatusIs(absl::StatusCode::kInvalidArgument));
      EXPECT_THAT(std::string(parent.status().message()), HasSubstr("the parent model: got"));
    }
  }
  NetworkOptions options = Options(GetParam());
  options.dense_units = {7};
  const FeatureShape shape =
      GetParam() == NetworkKind::kDense ? FeatureShape{.steps = 1, .width = 36} : kShape;
  EXPECT_THAT(ReadParentModel(file, *DescribeNetwork(options, shape, 2), MakeImpulse()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  if (GetParam() != NetworkKind::kDense) {
    options = Options(GetParam());
    options.conv_blocks[1].stride = 2;
    EXPECT_THAT(ReadParentModel(file, *DescribeNetwork(options, shape, 2), MakeImpulse()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_P(ParentModelTest, ABrokenFileIsRefusedWhereverItIsBroken) {
  const std::string file = WriteTflite(RandomNetwork(GetParam()), Metadata());
  const Network description = Describe(GetParam());
  for (std::size_t size = 0; size < file.size(); size += 7) {
    (void)ReadParentModel(file.substr(0, size), description, MakeImpulse());
  }
  Random random(2, 0);
  for (int i = 0; i < 2000; ++i) {
    std::string spoilt = file;
    spoilt[random.Below(spoilt.size())] ^= static_cast<char>(1 + random.Below(255));
    (void)ReadParentModel(spoilt, description, MakeImpulse());
  }
  EXPECT_THAT(ReadParentModel("", description, MakeImpulse()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ParentModelTest,
                         ::testing::Values(NetworkKind::kDense, NetworkKind::kConv1d,
                                           NetworkKind::kConv2d),
                         [](const auto& param_info) {
                           switch (param_info.param) {
                             case NetworkKind::kConv1d:
                               return "OneDimension";
                             case NetworkKind::kConv2d:
                               return "TwoDimensions";
                             default:
                               return "Dense";
                           }
                         });

TEST(ParentModelTest, OtherClassesOrBlocksAreRefused) {
  const std::string file = WriteTflite(RandomNetwork(NetworkKind::kDense), Metadata());
  auto classes = MakeImpulse();
  classes.set_classes(0, "c");
  auto blocks = MakeImpulse();
  blocks.mutable_blocks(0)->mutable_raw()->set_scale(2);
  for (const auto& impulse : {classes, blocks}) {
    const auto parent = ReadParentModel(file, Describe(NetworkKind::kDense), impulse);
    EXPECT_THAT(std::string(parent.status().message()),
                HasSubstr("another window, other blocks or other classes"));
  }
}

}  // namespace
}  // namespace fieldloop::build::trainer
