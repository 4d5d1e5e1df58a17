// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Models that another company's tools made, as they are and damaged.
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "agent/impulse/impulse.h"
#include "agent/impulse/network.h"

namespace {

std::vector<std::uint8_t> Read(const std::string& name) {
  std::ifstream file(std::string(FIELDLOOP_SHARED_DATA_DIR) + "/edge-impulse/models/" + name,
                     std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Opens and, if that works with a small arena, runs. Memory has the exact size.
fl_status_t OpenAndRun(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> model(data, data + size);
  std::size_t arena_size = 0;
  const fl_status_t status = fl_network_arena_size(model.data(), model.size(), &arena_size);
  if (status != FL_OK || arena_size > (1U << 20)) return status;
  std::vector<std::uint64_t> arena(arena_size / 8);
  fl_network_t network;
  EXPECT_EQ(fl_network_open(&network, model.data(), model.size(), arena.data(), arena_size), FL_OK);
  for (std::uint32_t i = 0; i < network.input_size; ++i) {
    network.input[i] = static_cast<std::int8_t>(i * 37);
  }
  fl_network_run(&network);
  return FL_OK;
}

struct Published {
  const char* name;
  std::uint32_t inputs;
  std::uint32_t outputs;
  std::size_t flip_step;
};

void PrintTo(const Published& model, std::ostream* out) { *out << model.name; }

class PublishedModelTest : public ::testing::TestWithParam<Published> {
 protected:
  void SetUp() override {
    model_ = Read(GetParam().name);
    if (model_.empty()) GTEST_SKIP() << "the published models are not on this machine";
  }

  std::vector<std::uint8_t> model_;
};

TEST_P(PublishedModelTest, OpensAndRunsTheSameTwice) {
  std::size_t arena_size = 0;
  ASSERT_EQ(fl_network_arena_size(model_.data(), model_.size(), &arena_size), FL_OK);
  EXPECT_LT(arena_size, 4096U);
  std::vector<std::uint64_t> arena(arena_size / 8);
  fl_network_t network;
  ASSERT_EQ(fl_network_open(&network, model_.data(), model_.size(), arena.data(), arena_size),
            FL_OK);
  ASSERT_EQ(network.input_size, GetParam().inputs);
  ASSERT_EQ(network.output_size, GetParam().outputs);
  std::vector<std::int8_t> first;
  for (int run = 0; run < 2; ++run) {
    for (std::uint32_t i = 0; i < network.input_size; ++i) {
      network.input[i] = static_cast<std::int8_t>(i * 91);
    }
    fl_network_run(&network);
    const std::vector<std::int8_t> output(network.output, network.output + network.output_size);
    if (run == 0) first = output;
    EXPECT_EQ(output, first);
  }
}

TEST_P(PublishedModelTest, HasNoImpulse) {
  std::size_t arena_size = 0;
  EXPECT_EQ(fl_impulse_arena_size(model_.data(), model_.size(), &arena_size), FL_ERR_NOT_FOUND);
}

TEST_P(PublishedModelTest, IsRefusedWhenCutAnywhere) {
  for (std::size_t size = 0; size < model_.size(); ++size) {
    ASSERT_NE(OpenAndRun(model_.data(), size), FL_OK) << size;
  }
}

TEST_P(PublishedModelTest, AFlippedByteNeverReadsOutside) {
  std::size_t refused = 0;
  for (std::size_t i = 0; i < model_.size(); i += GetParam().flip_step) {
    for (const std::uint8_t flip : {std::uint8_t{0x01}, std::uint8_t{0x80}, std::uint8_t{0xff}}) {
      model_[i] = static_cast<std::uint8_t>(model_[i] ^ flip);
      refused += OpenAndRun(model_.data(), model_.size()) == FL_OK ? 0U : 1U;
      model_[i] = static_cast<std::uint8_t>(model_[i] ^ flip);
    }
  }
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(OpenAndRun(model_.data(), model_.size()), FL_OK);
}

INSTANTIATE_TEST_SUITE_P(EdgeImpulse, PublishedModelTest,
                         ::testing::Values(Published{"gestures-i8.lite", 375, 4, 11},
                                           Published{"temperature-regression.i8.lite", 8, 1, 1}),
                         [](const auto& param_info) {
                           return std::string(param_info.param.name).substr(0, 8);
                         });

// The answers of TensorFlow Lite's own C library, version 2.9.
TEST(PublishedModel, TemperatureGivesKnownOutputs) {
  const std::vector<std::uint8_t> model = Read("temperature-regression.i8.lite");
  if (model.empty()) GTEST_SKIP() << "the published models are not on this machine";
  std::vector<std::uint64_t> arena(512);
  fl_network_t network;
  ASSERT_EQ(fl_network_open(&network, model.data(), model.size(), arena.data(), 8 * arena.size()),
            FL_OK);
  const struct {
    int seed;
    int output;
  } cases[] = {{1, 82}, {2, 87}, {3, 94}, {5, 82}, {7, 89}, {11, 83}, {13, 92}, {17, 90}, {21, 83}};
  for (const auto& known : cases) {
    for (int i = 0; i < 8; ++i) {
      network.input[i] = static_cast<std::int8_t>(known.seed * (i + 1) % 23 - 128);
    }
    fl_network_run(&network);
    EXPECT_EQ(network.output[0], known.output) << known.seed;
  }
}

}  // namespace
