// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/tflite_writer.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/impulse/impulse.h"
#include "agent/impulse/network.h"
#include "services/build/trainer/architecture.h"
#include "services/build/trainer/quantisation.h"
#include "services/build/trainer/random.h"

namespace fieldloop::build::trainer {
namespace {

Layer Dense(std::size_t inputs, std::size_t outputs, bool relu, std::vector<float> weights,
            std::vector<float> bias) {
  return {.form = {.kind = LayerKind::kDense,
                   .input = {.channels = inputs},
                   .output = {.channels = outputs},
                   .relu = relu},
          .weights = std::move(weights),
          .bias = std::move(bias)};
}

// Two inputs, a hidden layer that passes them on, logits that compare them.
QuantisedNetwork SmallNetwork() {
  const Network network{.layers = {Dense(2, 2, true, {1, 0, 0, 1}, {0.5F, 0.5F}),
                                   Dense(2, 2, false, {2, -2, -2, 2}, {0, 0})}};
  FeatureTable features(2, 2);
  features.values = {-1, 1, 1, -1};
  return Quantise(network, features);
}

class OpenedNetwork {
 public:
  explicit OpenedNetwork(const std::string& file) : file_(file) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(file_.data());
    std::size_t size = 0;
    status_ = fl_network_arena_size(data, file_.size(), &size);
    if (status_ == FL_OK) {
      arena_.resize(size / sizeof(std::uint64_t) + 1);
      status_ = fl_network_open(&network_, data, file_.size(), arena_.data(), size);
    }
  }
  fl_status_t status() const { return status_; }
  fl_network_t& network() { return network_; }

 private:
  std::string file_;
  std::vector<std::uint64_t> arena_;
  fl_status_t status_ = FL_OK;
  fl_network_t network_{};
};

TEST(TfliteWriterTest, TheInterpreterOfTheDeviceOpensAndRunsTheFile) {
  const QuantisedNetwork quantised = SmallNetwork();
  OpenedNetwork opened(WriteTflite(quantised, "impulse"));
  ASSERT_EQ(opened.status(), FL_OK);
  fl_network_t& network = opened.network();
  EXPECT_EQ(network.input_size, 2);
  EXPECT_EQ(network.output_size, 2);
  EXPECT_EQ(network.input_scale, quantised.input.scale);
  EXPECT_EQ(network.input_zero_point, quantised.input.zero_point);
  EXPECT_EQ(network.output_scale, 1.0F / 256);
  EXPECT_EQ(network.output_zero_point, -128);
  network.input[0] = 127;
  network.input[1] = -128;
  fl_network_run(&network);
  // Logits 3 and -3 for the inputs 1 and -1: a probability of 0.9975, which is 127 of 256 steps.
  EXPECT_EQ(network.output[0], 127);
  EXPECT_EQ(network.output[1], -127);
}

TEST(TfliteWriterTest, ASmallChangeOfTheInputChangesTheOutput) {
  OpenedNetwork opened(WriteTflite(SmallNetwork(), "impulse"));
  ASSERT_EQ(opened.status(), FL_OK);
  fl_network_t& network = opened.network();
  std::vector<int> outputs;
  for (const std::int8_t x : std::vector<std::int8_t>{-20, 0, 20}) {
    network.input[0] = x;
    network.input[1] = 0;
    fl_network_run(&network);
    outputs.push_back(network.output[0]);
  }
  EXPECT_LT(outputs[0], outputs[1]);
  EXPECT_LT(outputs[1], outputs[2]);
}

// Random weights for a network of every kind of layer.
Network ManyLayers(NetworkKind kind) {
  const NetworkOptions options{.kind = kind,
                               .conv_blocks = {{.filters = 5, .kernel = 4, .stride = 2, .pool = 1},
                                               {.filters = 7, .kernel = 3, .stride = 1, .pool = 2}},
                               .dense_units = {6}};
  Network network = *DescribeNetwork(options, {.steps = 13, .width = 4}, 3);
  Random random(3, 0);
  for (Layer& layer : network.layers) {
    const double deviation =
        1 / std::sqrt(static_cast<double>(layer.form.weights_per_channel()) + 1);
    for (std::size_t i = 0; i < layer.form.weight_count(); ++i) {
      layer.weights.push_back(static_cast<float>(2 * deviation * random.Normal()));
    }
    for (std::size_t i = 0; i < layer.form.bias_count(); ++i) {
      layer.bias.push_back(static_cast<float>(0.2 * random.Normal()));
    }
  }
  return network;
}

TEST(TfliteWriterTest, ConvolutionsOnTheDeviceGiveWhatTheFloatNetworkGives) {
  for (const NetworkKind kind : {NetworkKind::kConv1d, NetworkKind::kConv2d}) {
    const Network network = ManyLayers(kind);
    FeatureTable features(200, 13 * 4);
    Random random(4, 0);
    for (float& value : features.values) {
      value = static_cast<float>(random.Normal());
    }
    const QuantisedNetwork quantised = Quantise(network, features);
    OpenedNetwork opened(WriteTflite(quantised, "impulse"));
    ASSERT_EQ(opened.status(), FL_OK);
    NetworkRunner runner(network);
    double difference = 0;
    for (std::size_t row = 0; row < features.rows; ++row) {
      for (std::size_t i = 0; i < features.columns; ++i) {
        opened.network().input[i] =
            fl_quantise(features.row(row)[i], quantised.input.scale, quantised.input.zero_point);
      }
      fl_network_run(&opened.network());
      std::vector<float> logits = runner.Run(features.row(row)).back();
      double sum = 0;
      for (const float logit : logits) {
        sum += std::exp(static_cast<double>(logit));
      }
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const double probability = (opened.network().output[i] + 128) / 256.0;
        difference += std::abs(probability - std::exp(static_cast<double>(logits[i])) / sum);
      }
    }
    EXPECT_LT(difference / static_cast<double>(3 * features.rows), 0.01);
  }
}

TEST(TfliteWriterTest, CarriesTheMetadataAlignedUnderItsName) {
  const std::string metadata = "some impulse";
  const std::string file = WriteTflite(SmallNetwork(), metadata);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(file.data());
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(fl_tflite_metadata(bytes, file.size(), "fieldloop.impulse", &data, &size), FL_OK);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data), size), metadata);
  EXPECT_EQ((data - bytes) % 16, 0);
  EXPECT_EQ(file.substr(4, 4), "TFL3");
}

TEST(TfliteWriterTest, TheSameNetworkGivesTheSameBytes) {
  EXPECT_EQ(WriteTflite(SmallNetwork(), "m"), WriteTflite(SmallNetwork(), "m"));
}

}  // namespace
}  // namespace fieldloop::build::trainer
