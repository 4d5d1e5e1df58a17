// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/architecture.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop::build::trainer {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<LayerKind> Kinds(const Network& network) {
  std::vector<LayerKind> kinds;
  for (const Layer& layer : network.layers) {
    kinds.push_back(layer.form.kind);
  }
  return kinds;
}

TEST(ArchitectureTest, ADenseNetworkTakesAllFeatures) {
  const auto network =
      DescribeNetwork({.kind = NetworkKind::kDense, .conv_blocks = {}, .dense_units = {20, 10}},
                      {.steps = 1, .width = 33}, 4);
  ASSERT_THAT(network, IsOk());
  EXPECT_EQ(network->parameter_count(), 33 * 20 + 20 + 20 * 10 + 10 + 10 * 4 + 4);
  EXPECT_TRUE(network->layers[1].form.relu);
  EXPECT_FALSE(network->layers[2].form.relu);
}

TEST(ArchitectureTest, OneDimensionSlidesAlongTheStepsOnly) {
  const auto network =
      DescribeNetwork({.kind = NetworkKind::kConv1d,
                       .conv_blocks = {{.filters = 16, .kernel = 5, .stride = 2, .pool = 3}},
                       .dense_units = {8}},
                      {.steps = 49, .width = 13}, 4);
  ASSERT_THAT(network, IsOk());
  EXPECT_THAT(Kinds(*network),
              ElementsAre(LayerKind::kConvolution, LayerKind::kMaxPool, LayerKind::kAveragePool,
                          LayerKind::kDense, LayerKind::kDense));
  const LayerForm& convolution = network->layers[0].form;
  EXPECT_EQ(convolution.input, (Shape{.height = 1, .width = 49, .channels = 13}));
  EXPECT_EQ(convolution.output, (Shape{.height = 1, .width = 25, .channels = 16}));
  EXPECT_EQ(convolution.kernel_height, 1);
  EXPECT_EQ(convolution.weight_count(), 16 * 5 * 13);
  EXPECT_EQ(network->layers[1].form.output, (Shape{.height = 1, .width = 8, .channels = 16}));
  EXPECT_EQ(network->layers[2].form.output, (Shape{.height = 1, .width = 1, .channels = 16}));
}

TEST(ArchitectureTest, TwoDimensionsAreDepthwiseSeparableBehindTheFirstBlock) {
  const auto network = DescribeNetwork({.kind = NetworkKind::kConv2d,
                                        .conv_blocks = {{.filters = 8, .kernel = 3, .stride = 2},
                                                        {.filters = 12, .kernel = 3, .pool = 2}},
                                        .dense_units = {}},
                                       {.steps = 49, .width = 10}, 4);
  ASSERT_THAT(network, IsOk());
  EXPECT_THAT(Kinds(*network),
              ElementsAre(LayerKind::kConvolution, LayerKind::kDepthwise, LayerKind::kConvolution,
                          LayerKind::kMaxPool, LayerKind::kAveragePool, LayerKind::kDense));
  EXPECT_EQ(network->layers[0].form.output, (Shape{.height = 25, .width = 5, .channels = 8}));
  EXPECT_EQ(network->layers[1].form.weight_count(), 3 * 3 * 8);
  EXPECT_EQ(network->layers[2].form.weight_count(), 8 * 12);
  // Pooling is over steps.
  EXPECT_EQ(network->layers[3].form.output, (Shape{.height = 12, .width = 5, .channels = 12}));
}

TEST(ArchitectureTest, APoolingLongerThanWhatIsLeftIsRefused) {
  const auto network =
      DescribeNetwork({.kind = NetworkKind::kConv1d,
                       .conv_blocks = {{.filters = 8, .stride = 4}, {.filters = 8, .pool = 4}},
                       .dense_units = {}},
                      {.steps = 12, .width = 3}, 2);
  EXPECT_THAT(network, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(network.status().message()),
              HasSubstr("learning.conv_blocks[1].pool: got 4, want at most 3"));
}

TEST(ArchitectureTest, NamesSayFiltersKernelStrideAndPooling) {
  EXPECT_EQ(NetworkName({.kind = NetworkKind::kConv2d,
                         .conv_blocks = {{.filters = 16, .kernel = 3, .stride = 2},
                                         {.filters = 32, .kernel = 5, .pool = 2}},
                         .dense_units = {20}}),
            "conv_2d 16/3s2 32/5p2, dense 20");
  EXPECT_EQ(NetworkName({.kind = NetworkKind::kDense, .conv_blocks = {}, .dense_units = {32, 16}}),
            "dense 32 16");
}

TEST(ArchitectureTest, DefaultsAndCandidatesFitAnyInput) {
  for (const NetworkKind kind : {NetworkKind::kDense, NetworkKind::kConv1d, NetworkKind::kConv2d}) {
    for (const std::size_t steps : {1U, 3U, 20U, 125U}) {
      const FeatureShape shape = {.steps = steps, .width = 3};
      EXPECT_THAT(DescribeNetwork(
                      CompleteNetwork({.kind = kind, .conv_blocks = {}, .dense_units = {}}, shape),
                      shape, 5),
                  IsOk());
      std::size_t smaller = 0;
      for (const NetworkOptions& candidate : CandidateNetworks(kind, shape)) {
        const auto network = DescribeNetwork(candidate, shape, 5);
        ASSERT_THAT(network, IsOk());
        smaller = std::max(smaller, network->parameter_count());
      }
      EXPECT_GT(smaller, 0);
    }
  }
}

fieldloop::agent::v1::Impulse ImpulseOf(std::vector<std::string> axes) {
  fieldloop::agent::v1::Impulse impulse;
  impulse.mutable_window()->set_length(100);
  for (const std::string& axis : axes) {
    impulse.mutable_window()->add_axes(axis);
  }
  return impulse;
}

TEST(ShapeOfFeaturesTest, StepsAreReadingsOfARawBlockAndFramesOfAFilterBank) {
  auto motion = ImpulseOf({"x", "y", "z"});
  motion.add_blocks()->mutable_raw();
  const auto raw = ShapeOfFeatures(motion, 300, NetworkKind::kConv1d);
  ASSERT_THAT(raw, IsOk());
  EXPECT_EQ(raw->steps, 100);
  EXPECT_EQ(raw->width, 3);
  auto audio = ImpulseOf({"audio"});
  audio.add_blocks()->mutable_mfcc()->set_coefficient_count(13);
  const auto mfcc = ShapeOfFeatures(audio, 49 * 13, NetworkKind::kConv2d);
  ASSERT_THAT(mfcc, IsOk());
  EXPECT_EQ(mfcc->steps, 49);
  EXPECT_EQ(mfcc->width, 13);
}

TEST(ShapeOfFeaturesTest, WhatIsNotStepsByChannelsIsRefusedForConvolutionsOnly) {
  auto flatten = ImpulseOf({"x"});
  flatten.add_blocks()->mutable_flatten();
  auto several = ImpulseOf({"x"});
  several.add_blocks()->mutable_raw();
  several.add_blocks()->mutable_flatten();
  auto stereo = ImpulseOf({"left", "right"});
  stereo.add_blocks()->mutable_mfe()->set_filter_count(40);
  for (const auto& impulse : {flatten, several, stereo}) {
    EXPECT_THAT(ShapeOfFeatures(impulse, 120, NetworkKind::kConv1d),
                StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(ShapeOfFeatures(impulse, 120, NetworkKind::kDense), IsOk());
  }
}

}  // namespace
}  // namespace fieldloop::build::trainer
