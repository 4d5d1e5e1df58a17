// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/impulse/network.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/agent/impulse/tflite_builder.h"

namespace {

using fieldloop::testing::ByteOption;
using fieldloop::testing::FloatOption;
using fieldloop::testing::IntOption;
using fieldloop::testing::kInt32Type;
using fieldloop::testing::TfliteBuilder;
using fieldloop::testing::TfliteOperator;
using fieldloop::testing::TfliteOption;
using fieldloop::testing::TfliteTensor;

constexpr int kAdd = 0, kAveragePool = 1, kConcatenation = 2, kConv = 3, kDepthwise = 4,
              kDequantize = 6, kFullyConnected = 9, kLogistic = 14, kMaxPool = 17, kMul = 18,
              kReshape = 22, kSoftmax = 25, kPad = 34, kMean = 40, kSqueeze = 43, kExpandDims = 70,
              kQuantize = 114;
constexpr std::uint8_t kFloatType = 0;

// An opened network with its model and its arena, both of the exact size so that a sanitizer sees
// every step outside.
class Network {
 public:
  explicit Network(std::vector<std::uint8_t> model) : model_(std::move(model)) {
    model_.shrink_to_fit();
    status_ = fl_network_arena_size(model_.data(), model_.size(), &arena_size_);
    if (status_ != FL_OK) return;
    arena_.resize((arena_size_ + 7) / 8);
    status_ = fl_network_open(&network_, model_.data(), model_.size(), arena_.data(), arena_size_);
  }

  std::vector<int> Run(const std::vector<int>& input) {
    EXPECT_EQ(input.size(), network_.input_size);
    std::transform(input.begin(), input.end(), network_.input,
                   [](int v) { return static_cast<std::int8_t>(v); });
    fl_network_run(&network_);
    return {network_.output, network_.output + network_.output_size};
  }

  [[nodiscard]] fl_status_t status() const { return status_; }
  [[nodiscard]] std::size_t arena_size() const { return arena_size_; }
  [[nodiscard]] const fl_network_t& network() const { return network_; }

 private:
  std::vector<std::uint8_t> model_;
  std::vector<std::uint64_t> arena_;
  std::size_t arena_size_ = 0;
  fl_network_t network_{};
  fl_status_t status_ = FL_OK;
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  float Float(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  std::vector<int> Ints(std::size_t count, int low, int high) {
    std::vector<int> values(count);
    for (int& value : values) value = Int(low, high);
    return values;
  }
  std::vector<float> Floats(std::size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = Float(low, high);
    return values;
  }

 private:
  std::mt19937 engine_;
};

std::vector<std::int8_t> Narrow(const std::vector<int>& values) {
  return {values.begin(), values.end()};
}

// The specification, by another way: the exact quotient, rounded twice.
int ReferenceScale(std::int64_t sum, double real) {
  int shift = 0;
  const double q = std::frexp(real, &shift);
  std::int64_t multiplier = std::llround(q * 2147483648.0);
  if (multiplier == 2147483648LL) {
    multiplier /= 2;
    ++shift;
  }
  if (shift < -31) return 0;
  sum *= std::int64_t{1} << std::max(shift, 0);
  // Nearest, ties up.
  const auto high = static_cast<std::int64_t>(std::floor(
      static_cast<long double>(sum) * static_cast<long double>(multiplier) / 2147483648.0L + 0.5L));
  // Nearest, ties away from zero.
  return static_cast<int>(std::llround(std::ldexp(static_cast<double>(high), std::min(shift, 0))));
}

int ReferenceFinish(std::int64_t sum, double real, int zero_point, int low, int high) {
  return std::clamp(ReferenceScale(sum, real) + zero_point, low, high);
}

TfliteOperator Op(int code, std::vector<std::int32_t> inputs, std::vector<std::int32_t> outputs,
                  std::uint8_t options_type = 0, std::vector<TfliteOption> options = {}) {
  return {code, std::move(inputs), std::move(outputs), options_type, std::move(options)};
}

struct Layer {
  int units;
  int depth;
  std::vector<int> weights;
  std::vector<float> scales;
  std::vector<int> bias;
};

Layer RandomLayer(Random& random, int units, int depth, bool per_channel) {
  const auto count = static_cast<std::size_t>(units * depth);
  return {units, depth, random.Ints(count, -127, 127),
          random.Floats(per_channel ? static_cast<std::size_t>(units) : 1, 0.001F, 0.02F),
          random.Ints(static_cast<std::size_t>(units), -20000, 20000)};
}

TEST(FullyConnected, EqualsTheReferenceForEveryKindOfScaleAndActivation) {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    const int rows = random.Int(1, 3);
    const int units = random.Int(1, 9);
    const int depth = random.Int(1, 40);
    const int activation = random.Int(0, 3);
    const Layer layer = RandomLayer(random, units, depth, round % 2 == 1);
    const float input_scale = random.Float(0.01F, 0.2F);
    const float output_scale = random.Float(0.02F, 0.9F);
    const int input_zero = random.Int(-128, 127);
    const int output_zero = random.Int(-128, 127);

    TfliteBuilder builder;
    const auto input = builder.AddActivation({rows, depth}, input_scale, input_zero);
    const auto weights = builder.AddWeights({units, depth}, Narrow(layer.weights), layer.scales, 0);
    const auto bias = round % 5 == 0 ? -1 : builder.AddBias(layer.bias);
    const auto output = builder.AddActivation({rows, units}, output_scale, output_zero);
    builder.AddOperator(
        Op(kFullyConnected, {input, weights, bias}, {output}, 8, {ByteOption(0, activation)}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);

    int low = -128;
    int high = 127;
    const auto quantised = [&](float v) {
      return output_zero + static_cast<int>(std::round(v / output_scale));
    };
    if (activation == 1 || activation == 3) low = std::max(low, output_zero);
    if (activation == 3) high = std::min(high, quantised(6));
    if (activation == 2) {
      low = std::max(low, quantised(-1));
      high = std::min(high, quantised(1));
    }
    const std::vector<int> values = random.Ints(static_cast<std::size_t>(rows * depth), -128, 127);
    std::vector<int> want;
    for (int row = 0; row < rows; ++row) {
      for (int unit = 0; unit < units; ++unit) {
        std::int64_t sum = bias == -1 ? 0 : layer.bias[static_cast<std::size_t>(unit)];
        for (int i = 0; i < depth; ++i) {
          sum += (values[static_cast<std::size_t>(row * depth + i)] - input_zero) *
                 layer.weights[static_cast<std::size_t>(unit * depth + i)];
        }
        const bool per_tensor = layer.scales.size() == 1;
        const float product = input_scale * layer.scales[0];
        const double real =
            (per_tensor ? static_cast<double>(product)
                        : static_cast<double>(input_scale) *
                              static_cast<double>(layer.scales[static_cast<std::size_t>(unit)])) /
            static_cast<double>(output_scale);
        want.push_back(ReferenceFinish(sum, real, output_zero, low, high));
      }
    }
    EXPECT_EQ(network.Run(values), want) << "round " << round;
  }
}

// 1.5 and -1.5 steps: halves go away from zero in the last rounding.
TEST(FullyConnected, HalvesRoundAwayFromZero) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 1}, 0.5F, 0);
  const auto weights = builder.AddWeights({1, 1}, {1}, {1.0F}, 0);
  const auto output = builder.AddActivation({1, 1}, 1.0F, 0);
  builder.AddOperator(Op(kFullyConnected, {input, weights, -1}, {output}, 8));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  // M = 1/2 is multiplier 2^30 at shift 0, so the first rounding, ties up, is the only one.
  EXPECT_EQ(network.Run({3}), std::vector<int>{2});
  EXPECT_EQ(network.Run({-3}), std::vector<int>{-1});

  builder.tensor(input).scales = {0.25F};
  Network quarter(builder.Build(input, output));
  EXPECT_EQ(quarter.Run({6}), std::vector<int>{2});
  EXPECT_EQ(quarter.Run({-6}), std::vector<int>{-2});
}

// The product of the scales is a hair above 1.25 and rounds to 1.25 in float32: -2 then lies on a
// half for one scale of the tensor, and beyond it for a scale per channel.
TEST(FullyConnected, OneScaleIsMultipliedInSinglePrecision) {
  const float input_scale = std::nextafter(1.0F, 2.0F);
  const float weight_scale = std::nextafter(1.25F, 0.0F);
  for (const bool per_channel : {false, true}) {
    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, 1}, input_scale, 0);
    const auto weights = builder.AddWeights(
        {2, 1}, {1, 1}, std::vector<float>(per_channel ? 2 : 1, weight_scale), 0);
    const auto output = builder.AddActivation({1, 2}, 1.0F, 0);
    builder.AddOperator(Op(kFullyConnected, {input, weights}, {output}, 8));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    EXPECT_EQ(network.Run({-2}), std::vector<int>(2, per_channel ? -3 : -2));
  }
}

TEST(FullyConnected, ALargeMultiplierSaturates) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 1}, 1000.0F, 0);
  const auto weights = builder.AddWeights({1, 1}, {127}, {1000.0F}, 0);
  const auto output = builder.AddActivation({1, 1}, 0.01F, 127);
  builder.AddOperator(Op(kFullyConnected, {input, weights}, {output}, 8));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_EQ(network.Run({127}), std::vector<int>{127});
  EXPECT_EQ(network.Run({-128}), std::vector<int>{-128});
}

TEST(FullyConnected, ASumThatCouldOverflowIsRefused) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.5F, 0);
  const auto weights = builder.AddWeights({1, 4}, {1, 1, 1, 1}, {1.0F}, 0);
  const auto bias = builder.AddBias({INT32_MIN});
  const auto output = builder.AddActivation({1, 1}, 1.0F, 0);
  builder.AddOperator(Op(kFullyConnected, {input, weights, bias}, {output}, 8));
  EXPECT_EQ(Network(builder.Build(input, output)).status(), FL_ERR_UNSUPPORTED);
}

struct Image {
  int height, width, channels;
};

std::size_t Size(const Image& image) {
  return static_cast<std::size_t>(image.height * image.width * image.channels);
}

int At(const std::vector<int>& values, const Image& image, int y, int x, int channel) {
  return values[static_cast<std::size_t>((y * image.width + x) * image.channels + channel)];
}

struct Sliding {
  bool same;
  int filter_height, filter_width, stride_height, stride_width, dilation_height, dilation_width;
};

int OutSize(int in, int filter, int stride, int dilation, bool same) {
  return same ? (in + stride - 1) / stride : (in - (filter - 1) * dilation - 1) / stride + 1;
}

int Before(int in, int out, int filter, int stride, int dilation, bool same) {
  return same ? std::max(0, (out - 1) * stride + (filter - 1) * dilation + 1 - in) / 2 : 0;
}

Sliding RandomSliding(Random& random, const Image& in, bool dilate) {
  Sliding s{random.Int(0, 1) == 0,
            random.Int(1, 3),
            random.Int(1, 3),
            random.Int(1, 3),
            random.Int(1, 3),
            dilate ? random.Int(1, 3) : 1,
            dilate ? random.Int(1, 3) : 1};
  if ((s.filter_height - 1) * s.dilation_height >= in.height ||
      (s.filter_width - 1) * s.dilation_width >= in.width) {
    s.same = true;
  }
  return s;
}

Image OutImage(const Image& in, const Sliding& s, int channels) {
  return {OutSize(in.height, s.filter_height, s.stride_height, s.dilation_height, s.same),
          OutSize(in.width, s.filter_width, s.stride_width, s.dilation_width, s.same), channels};
}

// Calls `visit(tap_y, tap_x, y, x)` for every tap that falls on the image.
template <typename Visit>
void ForTaps(const Image& in, const Image& out, const Sliding& s, int out_y, int out_x,
             Visit visit) {
  const int top =
      Before(in.height, out.height, s.filter_height, s.stride_height, s.dilation_height, s.same);
  const int left =
      Before(in.width, out.width, s.filter_width, s.stride_width, s.dilation_width, s.same);
  for (int tap_y = 0; tap_y < s.filter_height; ++tap_y) {
    for (int tap_x = 0; tap_x < s.filter_width; ++tap_x) {
      const int y = out_y * s.stride_height - top + tap_y * s.dilation_height;
      const int x = out_x * s.stride_width - left + tap_x * s.dilation_width;
      if (y >= 0 && y < in.height && x >= 0 && x < in.width) visit(tap_y, tap_x, y, x);
    }
  }
}

class ConvolutionTest : public ::testing::TestWithParam<bool> {};

TEST_P(ConvolutionTest, EqualsTheReference) {
  const bool depthwise = GetParam();
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const Image in{random.Int(1, 9), random.Int(1, 9), random.Int(1, 4)};
    const Sliding s = RandomSliding(random, in, true);
    const int multiplier = random.Int(1, 3);
    const int out_channels = depthwise ? in.channels * multiplier : random.Int(1, 5);
    const Image out = OutImage(in, s, out_channels);
    const int taps = s.filter_height * s.filter_width;
    const auto channels = static_cast<std::size_t>(out_channels);
    const std::vector<int> weights = random.Ints(
        channels * static_cast<std::size_t>(depthwise ? taps : taps * in.channels), -127, 127);
    const std::vector<float> scales = random.Floats(round % 3 == 0 ? 1 : channels, 0.001F, 0.02F);
    const std::vector<int> biases = random.Ints(channels, -3000, 3000);
    const float input_scale = random.Float(0.01F, 0.2F);
    const float output_scale = random.Float(0.05F, 0.5F);
    const int input_zero = random.Int(-128, 127);
    const int output_zero = random.Int(-128, 127);

    TfliteBuilder builder;
    const auto input =
        builder.AddActivation({1, in.height, in.width, in.channels}, input_scale, input_zero);
    const auto filter =
        depthwise ? builder.AddWeights({1, s.filter_height, s.filter_width, out_channels},
                                       Narrow(weights), scales, 3)
                  : builder.AddWeights({out_channels, s.filter_height, s.filter_width, in.channels},
                                       Narrow(weights), scales, 0);
    const auto bias = builder.AddBias(biases);
    const auto output =
        builder.AddActivation({1, out.height, out.width, out_channels}, output_scale, output_zero);
    std::vector<TfliteOption> options = {
        ByteOption(0, s.same ? 0 : 1), IntOption(1, s.stride_width), IntOption(2, s.stride_height)};
    if (depthwise) {
      options.insert(options.end(),
                     {IntOption(3, multiplier), ByteOption(4, 1), IntOption(5, s.dilation_width),
                      IntOption(6, s.dilation_height)});
    } else {
      options.insert(options.end(), {ByteOption(3, 1), IntOption(4, s.dilation_width),
                                     IntOption(5, s.dilation_height)});
    }
    builder.AddOperator(Op(depthwise ? kDepthwise : kConv, {input, filter, bias}, {output},
                           depthwise ? 2 : 1, options));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK) << "round " << round;

    const std::vector<int> values = random.Ints(Size(in), -128, 127);
    std::vector<int> want;
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        for (int c = 0; c < out_channels; ++c) {
          std::int64_t sum = biases[static_cast<std::size_t>(c)];
          ForTaps(in, out, s, y, x, [&](int tap_y, int tap_x, int in_y, int in_x) {
            const int tap = tap_y * s.filter_width + tap_x;
            if (depthwise) {
              sum += (At(values, in, in_y, in_x, c / multiplier) - input_zero) *
                     weights[static_cast<std::size_t>(tap * out_channels + c)];
              return;
            }
            for (int i = 0; i < in.channels; ++i) {
              sum += (At(values, in, in_y, in_x, i) - input_zero) *
                     weights[static_cast<std::size_t>((c * taps + tap) * in.channels + i)];
            }
          });
          const float scale = scales[scales.size() == 1 ? 0 : static_cast<std::size_t>(c)];
          const double real = static_cast<double>(input_scale) * static_cast<double>(scale) /
                              static_cast<double>(output_scale);
          want.push_back(ReferenceFinish(sum, real, output_zero, output_zero, 127));
        }
      }
    }
    ASSERT_EQ(network.Run(values), want) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ConvolutionTest, ::testing::Values(false, true),
                         [](const auto& param_info) {
                           return param_info.param ? std::string("Depthwise") : std::string("Full");
                         });

TEST(Pool, AverageAndMaximumEqualTheReference) {
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const bool average = round % 2 == 0;
    const Image in{random.Int(1, 9), random.Int(1, 9), random.Int(1, 4)};
    const Sliding s = RandomSliding(random, in, false);
    const Image out = OutImage(in, s, in.channels);
    const int zero = random.Int(-128, 127);

    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, in.height, in.width, in.channels}, 0.1F, zero);
    const auto output = builder.AddActivation({1, out.height, out.width, in.channels}, 0.1F, zero);
    builder.AddOperator(Op(
        average ? kAveragePool : kMaxPool, {input}, {output}, 5,
        {ByteOption(0, s.same ? 0 : 1), IntOption(1, s.stride_width), IntOption(2, s.stride_height),
         IntOption(3, s.filter_width), IntOption(4, s.filter_height)}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);

    const std::vector<int> values = random.Ints(Size(in), -128, 127);
    std::vector<int> want;
    for (int y = 0; y < out.height; ++y) {
      for (int x = 0; x < out.width; ++x) {
        for (int c = 0; c < in.channels; ++c) {
          int sum = 0;
          int count = 0;
          int largest = -128;
          ForTaps(in, out, s, y, x, [&](int, int, int in_y, int in_x) {
            const int value = At(values, in, in_y, in_x, c);
            sum += value;
            ++count;
            largest = std::max(largest, value);
          });
          want.push_back(average ? static_cast<int>(std::lround(static_cast<double>(sum) / count))
                                 : largest);
        }
      }
    }
    ASSERT_EQ(network.Run(values), want) << "round " << round;
  }
}

TEST(Softmax, IsWithinOneStepOfTheRealFunctionAndKeepsTheOrder) {
  Random random(4);
  for (int round = 0; round < 300; ++round) {
    const int rows = random.Int(1, 3);
    const int depth = random.Int(1, 20);
    const float scale = random.Float(0.005F, 1.0F);
    const float beta = round % 4 == 0 ? 0.5F : 1.0F;
    TfliteBuilder builder;
    const auto input = builder.AddActivation({rows, depth}, scale, random.Int(-128, 127));
    const auto output = builder.AddActivation({rows, depth}, 1.0F / 256, -128);
    builder.AddOperator(Op(kSoftmax, {input}, {output}, 9, {FloatOption(0, beta)}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);

    const std::vector<int> values = random.Ints(static_cast<std::size_t>(rows * depth), -128, 127);
    const std::vector<int> got = network.Run(values);
    for (int row = 0; row < rows; ++row) {
      const auto first = static_cast<std::size_t>(row * depth);
      double sum = 0;
      for (int i = 0; i < depth; ++i) {
        sum += std::exp(values[first + static_cast<std::size_t>(i)] *
                        static_cast<double>(scale * beta));
      }
      for (int i = 0; i < depth; ++i) {
        const std::size_t at = first + static_cast<std::size_t>(i);
        const double want = std::exp(values[at] * static_cast<double>(scale * beta)) / sum;
        EXPECT_NEAR(got[at], std::min(127.0, 256 * want - 128), 1.0);
        if (i > 0 && values[at] >= values[at - 1]) {
          EXPECT_GE(got[at], got[at - 1]);
        }
      }
    }
  }
}

TEST(Softmax, ARowOfEqualsIsShared) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 511}, 0.1F, 0);
  const auto output = builder.AddActivation({1, 511}, 1.0F / 256, -128);
  builder.AddOperator(Op(kSoftmax, {input}, {output}, 9, {FloatOption(0, 1)}));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_EQ(network.Run(std::vector<int>(511, 7)), std::vector<int>(511, -127));
  builder.tensor(input).shape = {1, 512};
  builder.tensor(output).shape = {1, 512};
  EXPECT_EQ(Network(builder.Build(input, output)).status(), FL_ERR_UNSUPPORTED);
}

TEST(Logistic, IsWithinOneStepOfTheRealFunction) {
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    const float scale = random.Float(0.001F, 0.5F);
    const int zero = random.Int(-128, 127);
    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, 256}, scale, zero);
    const auto output = builder.AddActivation({1, 256}, 1.0F / 256, -128);
    builder.AddOperator(Op(kLogistic, {input}, {output}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    std::vector<int> values(256);
    for (int i = 0; i < 256; ++i) values[static_cast<std::size_t>(i)] = i - 128;
    const std::vector<int> got = network.Run(values);
    for (std::size_t i = 0; i < 256; ++i) {
      const double x = (values[i] - zero) * static_cast<double>(scale);
      EXPECT_NEAR(got[i], std::min(127.0, 256 / (1 + std::exp(-x)) - 128), 1.0) << x;
    }
  }
}

TEST(Add, IsWithinOneStepOfTheRealSum) {
  Random random(6);
  for (int round = 0; round < 100; ++round) {
    const float input_scale = random.Float(0.01F, 0.2F);
    const float other_scale = random.Float(0.01F, 0.2F);
    const float output_scale = random.Float(0.02F, 0.4F);
    const int input_zero = random.Int(-128, 127);
    const int other_zero = random.Int(-128, 127);
    const int output_zero = random.Int(-128, 127);
    // The second operand is computed too: the same values under another quantisation.
    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, 64}, input_scale, input_zero);
    const auto other = builder.AddActivation({1, 64}, other_scale, other_zero);
    const auto output = builder.AddActivation({1, 64}, output_scale, output_zero);
    builder.AddOperator(Op(kQuantize, {input}, {other}));
    builder.AddOperator(Op(kAdd, {input, other}, {output}, 11));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    const std::vector<int> values = random.Ints(64, -128, 127);
    const std::vector<int> got = network.Run(values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double real = (values[i] - input_zero) * static_cast<double>(input_scale);
      const int requantised =
          ReferenceFinish(values[i] - input_zero,
                          static_cast<double>(input_scale) / static_cast<double>(other_scale),
                          other_zero, -128, 127);
      const double sum = real + (requantised - other_zero) * static_cast<double>(other_scale);
      EXPECT_NEAR(got[i],
                  std::clamp(sum / static_cast<double>(output_scale) + output_zero, -128.0, 127.0),
                  0.501);
    }
  }
}

using Shape = std::vector<std::int32_t>;

std::size_t Elements(const Shape& shape) {
  std::size_t elements = 1;
  for (const std::int32_t dim : shape) elements *= static_cast<std::size_t>(dim);
  return elements;
}

// Calls `visit(index)` for every index of a shape, the last dimension quickest.
template <typename Visit>
void ForIndices(const Shape& shape, Visit visit) {
  Shape index(shape.size(), 0);
  for (std::size_t i = 0; i < Elements(shape); ++i) {
    visit(index);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

// Value at an index, in a tensor whose dimensions of size 1 are repeated.
int Broadcast(const std::vector<int>& values, const Shape& shape, const Shape& index) {
  std::size_t at = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const std::int32_t i = index[index.size() - shape.size() + d];
    at = at * static_cast<std::size_t>(shape[d]) + static_cast<std::size_t>(shape[d] == 1 ? 0 : i);
  }
  return values[at];
}

TEST(Pair, BroadcastsAConstantOfAnyShape) {
  Random random(7);
  const std::vector<Shape> others = {{2, 3, 4, 5}, {5},          {4, 1},       {3, 1, 1},
                                     {1},          {1, 3, 1, 5}, {2, 1, 4, 1}, {}};
  const Shape shape = {2, 3, 4, 5};
  for (const Shape& other_shape : others) {
    for (const int code : {kAdd, kMul}) {
      const std::vector<int> others_values = random.Ints(Elements(other_shape), -128, 127);
      TfliteBuilder builder;
      const auto input = builder.AddActivation(shape, 0.03F, 7);
      const auto other = builder.AddWeights(other_shape, Narrow(others_values), {0.02F}, 0);
      builder.tensor(other).zero_points = {-9};
      const auto output = builder.AddActivation(shape, 0.05F, 3);
      builder.AddOperator(Op(code, {input, other}, {output}, code == kAdd ? 11 : 21));
      Network network(builder.Build(input, output));
      ASSERT_EQ(network.status(), FL_OK);
      const std::vector<int> values = random.Ints(Elements(shape), -128, 127);
      const std::vector<int> got = network.Run(values);
      std::size_t at = 0;
      ForIndices(shape, [&](const Shape& index) {
        const double a = (values[at] - 7) * 0.03;
        const double b = (Broadcast(others_values, other_shape, index) + 9) * 0.02;
        const double want = (code == kAdd ? a + b : a * b) / 0.05 + 3;
        ASSERT_NEAR(got[at], std::clamp(want, -128.0, 127.0), 0.51) << code;
        ++at;
      });
    }
  }
}

TEST(Pair, MulEqualsTheReferenceWithEveryActivation) {
  Random random(8);
  for (int round = 0; round < 100; ++round) {
    const int activation = round % 4;
    const float input_scale = random.Float(0.01F, 0.2F);
    const float output_scale = random.Float(0.01F, 0.4F);
    const int input_zero = random.Int(-128, 127);
    const int output_zero = random.Int(-128, 127);
    TfliteBuilder builder;
    const auto input = builder.AddActivation({3, 20}, input_scale, input_zero);
    const auto output = builder.AddActivation({3, 20}, output_scale, output_zero);
    builder.AddOperator(Op(kMul, {input, input}, {output}, 21, {ByteOption(0, activation)}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    const std::vector<int> values = random.Ints(60, -128, 127);
    const auto quantised = [&](float v) {
      return output_zero + static_cast<int>(std::round(v / output_scale));
    };
    const int low = activation == 0   ? -128
                    : activation == 2 ? std::max(-128, quantised(-1))
                                      : output_zero;
    const int high = activation == 2   ? std::min(127, quantised(1))
                     : activation == 3 ? std::min(127, quantised(6))
                                       : 127;
    const double real = static_cast<double>(input_scale) * static_cast<double>(input_scale) /
                        static_cast<double>(output_scale);
    std::vector<int> want;
    for (const int value : values) {
      want.push_back(ReferenceFinish((value - input_zero) * (value - input_zero), real, output_zero,
                                     low, high));
    }
    ASSERT_EQ(network.Run(values), want) << "round " << round;
  }
}

TEST(Pair, ShapesThatDoNotFitAreRefused) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({2, 3}, 0.1F, 0);
  const auto other = builder.AddWeights({2}, {1, 2}, {0.1F}, 0);
  const auto output = builder.AddActivation({2, 3}, 0.1F, 0);
  builder.AddOperator(Op(kMul, {input, other}, {output}, 21));
  EXPECT_EQ(Network(builder.Build(input, output)).status(), FL_ERR_CORRUPT);
  builder.tensor(other).shape = {2, 1};
  EXPECT_EQ(Network(builder.Build(input, output)).status(), FL_OK);
}

std::int32_t AddNumbers(TfliteBuilder& builder, const std::vector<std::int32_t>& numbers) {
  return builder.AddBias(numbers);
}

// Two roundings, the second of up to half a step of a coarser one: at most 3/4.
TEST(Mean, IsWithinOneStepOverEveryChoiceOfAxes) {
  Random random(9);
  const Shape shape = {2, 3, 4, 5};
  for (int axes = 1; axes < 16; ++axes) {
    Shape kept = shape;
    std::vector<std::int32_t> numbers;
    for (int d = 0; d < 4; ++d) {
      if ((axes >> d & 1) == 0) continue;
      kept[static_cast<std::size_t>(d)] = 1;
      numbers.push_back(d % 2 == 0 ? d : d - 4);
    }
    TfliteBuilder builder;
    const auto input = builder.AddActivation(shape, 0.05F, 11);
    const auto over = AddNumbers(builder, numbers);
    const auto output = builder.AddActivation(kept, 0.02F, -4);
    builder.AddOperator(Op(kMean, {input, over}, {output}, 27, {ByteOption(0, 1)}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    const std::vector<int> values = random.Ints(Elements(shape), -60, 60);
    std::vector<double> sums(Elements(kept), 0);
    std::size_t at = 0;
    ForIndices(shape, [&](const Shape& index) {
      std::size_t to = 0;
      for (std::size_t d = 0; d < 4; ++d) {
        to = to * static_cast<std::size_t>(kept[d]) +
             static_cast<std::size_t>(kept[d] == 1 ? 0 : index[d]);
      }
      sums[to] += (values[at++] - 11) * 0.05;
    });
    const std::vector<int> got = network.Run(values);
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double mean = sums[i] / (static_cast<double>(Elements(shape) / Elements(kept)));
      EXPECT_NEAR(got[i], std::clamp(mean / 0.02 - 4, -128.0, 127.0), 0.76) << axes;
    }
  }
}

TEST(Mean, RoundsToNearest) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 3}, 1.0F, 0);
  const auto over = AddNumbers(builder, {1});
  const auto output = builder.AddActivation({1}, 1.0F, 0);
  builder.AddOperator(Op(kMean, {input, over}, {output}, 27));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_EQ(network.Run({1, 1, 2}), std::vector<int>{1});
  EXPECT_EQ(network.Run({1, 1, 3}), std::vector<int>{2});
  EXPECT_EQ(network.Run({-1, -1, -3}), std::vector<int>{-2});
  EXPECT_EQ(network.Run({127, 127, 127}), std::vector<int>{127});
}

TEST(Pad, PutsTheZeroPointAroundATensorOfAnyRank) {
  Random random(10);
  for (std::size_t rank = 1; rank <= 4; ++rank) {
    Shape in;
    Shape out;
    std::vector<std::int32_t> paddings;
    for (std::size_t d = 0; d < rank; ++d) {
      in.push_back(random.Int(1, 4));
      paddings.push_back(random.Int(0, 2));
      paddings.push_back(random.Int(0, 2));
      out.push_back(in[d] + paddings[2 * d] + paddings[2 * d + 1]);
    }
    TfliteBuilder builder;
    const auto input = builder.AddActivation(in, 0.1F, 5);
    const auto numbers = AddNumbers(builder, paddings);
    const auto output = builder.AddActivation(out, 0.1F, 5);
    builder.AddOperator(Op(kPad, {input, numbers}, {output}, 22));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    const std::vector<int> values = random.Ints(Elements(in), -128, 127);
    std::vector<int> want;
    ForIndices(out, [&](const Shape& index) {
      std::size_t at = 0;
      bool inside = true;
      for (std::size_t d = 0; d < rank; ++d) {
        const int i = index[d] - paddings[2 * d];
        inside = inside && i >= 0 && i < in[d];
        at = at * static_cast<std::size_t>(in[d]) + static_cast<std::size_t>(i);
      }
      want.push_back(inside ? values[at] : 5);
    });
    EXPECT_EQ(network.Run(values), want) << rank;
    builder.tensor(numbers).data[0] = static_cast<char>(-1);
    EXPECT_EQ(Network(builder.Build(input, output)).status(), FL_ERR_CORRUPT);
  }
}

TEST(Concatenation, JoinsComputedAndConstantPartsAlongAnyAxis) {
  Random random(11);
  for (int axis = -4; axis < 4; ++axis) {
    const auto at = static_cast<std::size_t>(axis < 0 ? axis + 4 : axis);
    Shape in = {2, 3, 2, 4};
    Shape constant = in;
    constant[at] = 3;
    Shape out = in;
    out[at] += constant[at] + in[at];
    const std::vector<int> constants = random.Ints(Elements(constant), -128, 127);
    TfliteBuilder builder;
    const auto input = builder.AddActivation(in, 0.1F, 5);
    const auto middle = builder.AddWeights(constant, Narrow(constants), {0.1F}, 0);
    builder.tensor(middle).zero_points = {5};
    const auto output = builder.AddActivation(out, 0.1F, 5);
    builder.AddOperator(
        Op(kConcatenation, {input, middle, input}, {output}, 10, {IntOption(0, axis)}));
    Network network(builder.Build(input, output));
    ASSERT_EQ(network.status(), FL_OK);
    const std::vector<int> values = random.Ints(Elements(in), -128, 127);
    std::vector<int> want;
    ForIndices(out, [&](Shape index) {
      const bool first = index[at] < in[at];
      const bool second = !first && index[at] < in[at] + constant[at];
      index[at] -= first ? 0 : second ? in[at] : in[at] + constant[at];
      want.push_back(second ? Broadcast(constants, constant, index) : Broadcast(values, in, index));
    });
    EXPECT_EQ(network.Run(values), want) << axis;
  }
}

TEST(Concatenation, PartsThatDoNotFitAreRefused) {
  const auto status = [](const Shape& out, float scale, int axis) {
    TfliteBuilder builder;
    const auto input = builder.AddActivation({2, 3}, 0.1F, 0);
    const auto output = builder.AddActivation(out, scale, 0);
    builder.AddOperator(Op(kConcatenation, {input, input}, {output}, 10, {IntOption(0, axis)}));
    return Network(builder.Build(input, output)).status();
  };
  EXPECT_EQ(status({2, 6}, 0.1F, 1), FL_OK);
  EXPECT_EQ(status({4, 3}, 0.1F, 0), FL_OK);
  EXPECT_EQ(status({2, 6}, 0.1F, 0), FL_ERR_CORRUPT);
  EXPECT_EQ(status({2, 7}, 0.1F, 1), FL_ERR_CORRUPT);
  EXPECT_EQ(status({2, 5}, 0.1F, 1), FL_ERR_CORRUPT);
  EXPECT_EQ(status({2, 6}, 0.1F, 2), FL_ERR_CORRUPT);
  EXPECT_EQ(status({2, 6}, 0.2F, 1), FL_ERR_UNSUPPORTED);
}

TEST(Reshape, ExpandDimsAndSqueezeAreReshapes) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 6}, 0.1F, 0);
  const auto axis = AddNumbers(builder, {1});
  const auto expanded = builder.AddActivation({1, 1, 6}, 0.1F, 0);
  const auto output = builder.AddActivation({1, 6}, 0.1F, 0);
  builder.AddOperator(Op(kExpandDims, {input, axis}, {expanded}));
  builder.AddOperator(Op(kSqueeze, {expanded}, {output}));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_EQ(network.Run({1, -2, 3, -4, 5, -6}), (std::vector<int>{1, -2, 3, -4, 5, -6}));
}

std::int32_t AddFloat(TfliteBuilder& builder, const Shape& shape) {
  TfliteTensor tensor;
  tensor.shape = shape;
  tensor.type = kFloatType;
  return builder.AddTensor(std::move(tensor));
}

TEST(Network, FloatEndsAreLeftOutAndItsInt8BodyRuns) {
  TfliteBuilder builder;
  const auto input = AddFloat(builder, {1, 4});
  const auto quantised = builder.AddActivation({1, 4}, 0.25F, -3);
  const auto body = builder.AddActivation({1, 4}, 0.5F, 4);
  const auto output = AddFloat(builder, {1, 4});
  builder.AddOperator(Op(kQuantize, {input}, {quantised}));
  builder.AddOperator(Op(kQuantize, {quantised}, {body}));
  builder.AddOperator(Op(kDequantize, {body}, {output}));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_EQ(network.network().input_scale, 0.25F);
  EXPECT_EQ(network.network().input_zero_point, -3);
  EXPECT_EQ(network.network().output_scale, 0.5F);
  EXPECT_EQ(network.network().output_zero_point, 4);
  EXPECT_EQ(network.Run({-3, 5, 1, -11}), (std::vector<int>{4, 8, 6, 0}));
}

TEST(Network, FloatInTheMiddleIsRefused) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.25F, -3);
  const auto middle = AddFloat(builder, {1, 4});
  const auto output = builder.AddActivation({1, 4}, 0.25F, -3);
  builder.AddOperator(Op(kDequantize, {input}, {middle}));
  builder.AddOperator(Op(kQuantize, {middle}, {output}));
  EXPECT_EQ(Network(builder.Build(input, output)).status(), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(Network(builder.Build(input, middle)).status(), FL_ERR_UNSUPPORTED);
}

// The same on every target: the test of the Cortex-M4 compares with these figures' formula.
TEST(Network, TheArenaIsOperatorsChannelsActivationsAndScratch) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4, 4, 1}, 0.1F, 0);
  const auto weights = builder.AddWeights({2, 3, 3, 1}, std::vector<std::int8_t>(18, 1), {0.1F}, 0);
  const auto output = builder.AddActivation({1, 4, 4, 2}, 0.1F, 0);
  builder.AddOperator(Op(kConv, {input, weights}, {output}, 1, {IntOption(1, 1), IntOption(2, 1)}));
  const Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  const std::size_t operators = 96;  // 92, rounded up to 8.
  const std::size_t channels = 2 * 12;
  const std::size_t activations = 16 + 32;
  const std::size_t scratch = 16;  // 3 x 3, rounded up.
  EXPECT_EQ(network.arena_size(), operators + channels + activations + scratch);
}

TEST(Network, ARefusalSaysWhyAndAtWhichOperator) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.25F, 0);
  const auto middle = builder.AddActivation({4}, 0.25F, 0);
  const auto output = builder.AddActivation({4}, 0.5F, 0);
  builder.AddOperator(Op(kReshape, {input}, {middle}));
  builder.AddOperator(Op(kReshape, {middle}, {output}));
  fl_refusal_t refusal;
  std::vector<std::uint8_t> model = builder.Build(input, output);
  EXPECT_EQ(fl_network_check(model.data(), model.size(), &refusal), FL_ERR_UNSUPPORTED);
  EXPECT_STREQ(refusal.reason, "input and output have another quantisation");
  EXPECT_EQ(refusal.operator_index, 1);

  EXPECT_EQ(fl_network_check(model.data(), 20, &refusal), FL_ERR_CORRUPT);
  EXPECT_STREQ(refusal.reason, "an offset points outside the file");
  EXPECT_EQ(refusal.operator_index, -1);

  builder.tensor(output).scales = {0.25F};
  model = builder.Build(input, output);
  EXPECT_EQ(fl_network_check(model.data(), model.size(), &refusal), FL_OK);
  EXPECT_EQ(refusal.reason, nullptr);
}

// Three layers, a reshape on the way: activations that are not needed any more give way.
TEST(Network, ActivationsShareTheArena) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 800}, 0.1F, 0);
  const auto reshaped = builder.AddActivation({1, 2, 400}, 0.1F, 0);
  const auto copy = builder.AddActivation({1, 800}, 0.1F, 0);
  const auto output = builder.AddActivation({800}, 0.1F, 0);
  builder.AddOperator(Op(kReshape, {input}, {reshaped}));
  builder.AddOperator(Op(kReshape, {reshaped}, {copy}));
  builder.AddOperator(Op(kReshape, {copy}, {output}));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_LT(network.arena_size(), 3 * 800U);
  std::vector<int> values(800);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i % 256) - 128;
  EXPECT_EQ(network.Run(values), values);
}

TEST(Network, AnActivationLivesUntilItsLastReader) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 8}, 0.1F, 0);
  const auto a = builder.AddActivation({1, 8}, 0.1F, 0);
  const auto b = builder.AddActivation({1, 8}, 0.1F, 0);
  const auto output = builder.AddActivation({1, 8}, 0.2F, 0);
  builder.AddOperator(Op(kReshape, {input}, {a}));
  builder.AddOperator(Op(kReshape, {a}, {b}));
  builder.AddOperator(Op(kAdd, {b, input}, {output}, 11));
  Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  const std::vector<int> values = {1, 2, 3, 4, 5, 6, 7, -8};
  EXPECT_EQ(network.Run(values), values);
}

TEST(Network, TellsItsSizesAndQuantisation) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 6}, 0.25F, -3);
  const auto output = builder.AddActivation({2, 3}, 0.5F, 4);
  builder.AddOperator(Op(kQuantize, {input}, {output}));
  const Network network(builder.Build(input, output));
  ASSERT_EQ(network.status(), FL_OK);
  EXPECT_EQ(network.network().input_size, 6U);
  EXPECT_EQ(network.network().output_size, 6U);
  EXPECT_EQ(network.network().input_scale, 0.25F);
  EXPECT_EQ(network.network().input_zero_point, -3);
  EXPECT_EQ(network.network().output_scale, 0.5F);
  EXPECT_EQ(network.network().output_zero_point, 4);
}

TEST(Network, AnArenaThatIsTooSmallOrNotAlignedIsRefused) {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 6}, 0.25F, 0);
  const auto output = builder.AddActivation({6}, 0.25F, 0);
  builder.AddOperator(Op(kReshape, {input}, {output}));
  const std::vector<std::uint8_t> model = builder.Build(input, output);
  std::size_t size = 0;
  ASSERT_EQ(fl_network_arena_size(model.data(), model.size(), &size), FL_OK);
  std::vector<std::uint64_t> arena(size / 8 + 2);
  fl_network_t network;
  for (std::size_t i = 0; i < size; ++i) {
    EXPECT_EQ(fl_network_open(&network, model.data(), model.size(), arena.data(), i),
              FL_ERR_NO_SPACE);
  }
  EXPECT_EQ(fl_network_open(&network, model.data(), model.size(),
                            reinterpret_cast<std::uint8_t*>(arena.data()) + 4, size),
            FL_ERR_ARG);
}

TEST(Network, AVtableThatReachesPastTheEndIsCorrupt) {
  // Root table at 8; its vtable, at 12, says 256 bytes where 4 are left.
  const std::vector<std::uint8_t> model = {8,    0,    0,    0,    'T', 'F', 'L', '3',
                                           0xfc, 0xff, 0xff, 0xff, 0,   1,   4,   0};
  EXPECT_EQ(Network(model).status(), FL_ERR_CORRUPT);
}

TEST(Network, WhatIsNotRunIsRefused) {
  const auto status = [](auto change) {
    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, 4}, 0.5F, 0);
    const auto weights = builder.AddWeights({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}, {1.0F}, 0);
    const auto bias = builder.AddBias({1, 2});
    const auto output = builder.AddActivation({1, 2}, 1.0F, 0);
    TfliteOperator op = Op(kFullyConnected, {input, weights, bias}, {output}, 8);
    change(builder, op);
    builder.AddOperator(op);
    return Network(builder.Build(input, output)).status();
  };
  constexpr int kInput = 0, kWeights = 1, kBias = 2, kOutput = 3;
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator&) {}), FL_OK);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.code = 36; }), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.inputs[0] = 99; }), FL_ERR_CORRUPT);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.inputs[0] = kOutput; }),
            FL_ERR_CORRUPT);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.inputs[1] = kInput; }),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.outputs = {kInput}; }),
            FL_ERR_CORRUPT);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.outputs = {kWeights}; }),
            FL_ERR_CORRUPT);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.options_type = 0; }),
            FL_ERR_CORRUPT);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.options = {ByteOption(0, 4)}; }),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status([](TfliteBuilder&, TfliteOperator& op) { op.options = {ByteOption(1, 1)}; }),
            FL_ERR_UNSUPPORTED);
  const auto with_tensor = [&](std::int32_t index, auto change) {
    return status([&](TfliteBuilder& builder, TfliteOperator&) { change(builder.tensor(index)); });
  };
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.shape = {1, 5}; }), FL_ERR_CORRUPT);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.shape = {}; }), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.shape = {0, 4}; }), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.shape = {-1, 4}; }), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kInput,
                        [](TfliteTensor& t) {
                          t.shape = {65536, 65536, 4};
                        }),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.type = 0; }), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.scales = {0}; }), FL_ERR_CORRUPT);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.zero_points = {128}; }),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kInput, [](TfliteTensor& t) { t.zero_points = {std::int64_t{1} << 32}; }),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kOutput, [](TfliteTensor& t) { t.shape = {1, 3}; }), FL_ERR_CORRUPT);
  EXPECT_EQ(with_tensor(kWeights, [](TfliteTensor& t) { t.data.pop_back(); }), FL_ERR_CORRUPT);
  EXPECT_EQ(with_tensor(kWeights, [](TfliteTensor& t) { t.zero_points = {1}; }),
            FL_ERR_UNSUPPORTED);
  EXPECT_EQ(with_tensor(kWeights,
                        [](TfliteTensor& t) {
                          t.scales = {1, 1, 1};
                          t.zero_points = {0, 0, 0};
                        }),
            FL_ERR_CORRUPT);
  EXPECT_EQ(with_tensor(kBias,
                        [](TfliteTensor& t) {
                          t.shape = {1};
                          t.data.resize(4);
                        }),
            FL_ERR_CORRUPT);
  EXPECT_EQ(with_tensor(kBias, [](TfliteTensor& t) { t.type = 0; }), FL_ERR_UNSUPPORTED);
}

}  // namespace
