// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/network.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::build::trainer {
namespace {

using ::testing::ElementsAre;

std::vector<float> RunOne(const LayerForm& form, std::vector<float> weights,
                          std::vector<float> bias, const std::vector<float>& input) {
  const Network network{
      .layers = {{.form = form, .weights = std::move(weights), .bias = std::move(bias)}}};
  NetworkRunner runner(network);
  return runner.Run(input.data()).back();
}

TEST(NetworkTest, ADenseLayerMultipliesAndCutsBelowZero) {
  LayerForm form = {.input = {.channels = 2}, .output = {.channels = 2}};
  EXPECT_THAT(RunOne(form, {1, 2, 3, -4}, {10, 1}, {1, 2}), ElementsAre(15, -4));
  form.relu = true;
  EXPECT_THAT(RunOne(form, {1, 2, 3, -4}, {10, 1}, {1, 2}), ElementsAre(15, 0));
}

TEST(NetworkTest, AConvolutionPadsMoreBehindThanBefore) {
  const LayerForm form = {.kind = LayerKind::kConvolution,
                          .input = {.height = 1, .width = 4, .channels = 1},
                          .output = {.height = 1, .width = 2, .channels = 1},
                          .kernel_width = 3,
                          .stride_width = 2};
  // One point of padding in all: behind the last.
  EXPECT_EQ(TotalPadding(4, 2, 3, 2), 1);
  EXPECT_THAT(RunOne(form, {1, 10, 100}, {0}, {1, 2, 3, 4}), ElementsAre(321, 43));
}

TEST(NetworkTest, AConvolutionSumsOverItsInputsForEachOutput) {
  const LayerForm form = {.kind = LayerKind::kConvolution,
                          .input = {.height = 1, .width = 2, .channels = 2},
                          .output = {.height = 1, .width = 2, .channels = 2}};
  EXPECT_THAT(RunOne(form, {1, 10, -1, 0}, {0, 5}, {1, 2, 3, 4}), ElementsAre(21, 4, 43, 2));
}

TEST(NetworkTest, ADepthwiseConvolutionKeepsTheChannelsApart) {
  const LayerForm form = {.kind = LayerKind::kDepthwise,
                          .input = {.height = 2, .width = 1, .channels = 2},
                          .output = {.height = 2, .width = 1, .channels = 2},
                          .kernel_height = 3};
  // Rows of the kernel: (1, 10), (2, 20), (3, 30).
  EXPECT_THAT(RunOne(form, {1, 10, 2, 20, 3, 30}, {0, 0}, {1, 2, 3, 4}),
              ElementsAre(1 * 2 + 3 * 3, 2 * 20 + 4 * 30, 1 * 1 + 3 * 2, 2 * 10 + 4 * 20));
}

TEST(NetworkTest, PoolsTakeWholeWindowsOnly) {
  LayerForm form = {.kind = LayerKind::kMaxPool,
                    .input = {.height = 1, .width = 5, .channels = 1},
                    .output = {.height = 1, .width = 2, .channels = 1},
                    .kernel_width = 2,
                    .stride_width = 2};
  EXPECT_THAT(RunOne(form, {}, {}, {-3, -1, 4, 2, 9}), ElementsAre(-1, 4));
  form.kind = LayerKind::kAveragePool;
  EXPECT_THAT(RunOne(form, {}, {}, {-3, -1, 4, 2, 9}), ElementsAre(-2, 3));
}

}  // namespace
}  // namespace fieldloop::build::trainer
