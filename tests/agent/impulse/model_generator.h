// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_IMPULSE_MODEL_GENERATOR_H_
#define FIELDLOOP_TESTS_AGENT_IMPULSE_MODEL_GENERATOR_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/agent/impulse/tflite_builder.h"

namespace fieldloop::testing {

// The same numbers everywhere, unlike the distributions of the standard library.
class FixedRandom {
 public:
  explicit FixedRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t x = state_;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
  }
  int Int(int low, int high) {
    return low + static_cast<int>(Next() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool Coin() { return Int(0, 1) == 1; }
  float Float(float low, float high) {
    return low + (high - low) * static_cast<float>(Next() >> 40U) / 16777216.0F;
  }
  template <typename Value>
  Value Pick(const std::vector<Value>& values) {
    return values[Next() % values.size()];
  }

 private:
  std::uint64_t state_;
};

struct GeneratedModel {
  std::string kind;
  std::vector<std::uint8_t> bytes;
};

// Small models of one kind each, with random shapes, strides, paddings, dilations and scales.
class ModelGenerator {
 public:
  static const std::vector<std::string>& Kinds() {
    static const std::vector<std::string> kinds = {"fully connected",
                                                   "fully connected, scale per unit",
                                                   "convolution",
                                                   "convolution in one dimension",
                                                   "depthwise",
                                                   "average pool",
                                                   "maximum pool",
                                                   "mean",
                                                   "mean, other axes",
                                                   "mean, other axes, one scale",
                                                   "add",
                                                   "add, broadcast",
                                                   "mul",
                                                   "mul, broadcast",
                                                   "pad",
                                                   "concatenation",
                                                   "reshape",
                                                   "quantize",
                                                   "softmax",
                                                   "logistic",
                                                   "float ends",
                                                   "separable network",
                                                   "residual network"};
    return kinds;
  }

  GeneratedModel Generate(const std::string& kind, std::uint64_t seed) {
    random_ = FixedRandom(seed * 1000003U + std::hash<std::string>{}(kind) % 1000U);
    builder_ = TfliteBuilder();
    const auto [input, output] = Make(kind);
    return {kind, builder_.Build(input, output)};
  }

 private:
  using Shape = std::vector<std::int32_t>;
  using Ends = std::pair<std::int32_t, std::int32_t>;

  // A tensor and what the next operator has to know of it.
  struct Value {
    std::int32_t tensor;
    Shape shape;
    float scale;
  };

  static std::int32_t Elements(const Shape& shape) {
    std::int32_t elements = 1;
    for (const std::int32_t dim : shape) elements *= dim;
    return elements;
  }

  Value Activation(const Shape& shape, float scale) {
    return {builder_.AddActivation(shape, scale, random_.Int(-128, 127)), shape, scale};
  }
  Value Input(const Shape& shape) { return Activation(shape, random_.Float(0.01F, 0.2F)); }
  Value Image() {
    return Input({random_.Int(1, 2), random_.Int(1, 12), random_.Int(1, 12), random_.Int(1, 18)});
  }
  // Same scale and zero point as another.
  Value Like(const Value& value, const Shape& shape) {
    const TfliteTensor& tensor = builder_.tensor(value.tensor);
    return {builder_.AddActivation(shape, value.scale, tensor.zero_points[0]), shape, value.scale};
  }

  std::vector<std::int8_t> Bytes(std::int32_t count, int low = -127) {
    std::vector<std::int8_t> bytes;
    for (std::int32_t i = 0; i < count; ++i) {
      bytes.push_back(static_cast<std::int8_t>(random_.Int(low, 127)));
    }
    return bytes;
  }

  std::int32_t Numbers(const std::vector<std::int32_t>& numbers) {
    return builder_.AddBias(numbers);
  }

  // Weights and bias of `channels` sums of `taps` products; an output scale that uses the range.
  struct Layer {
    std::int32_t weights;
    std::int32_t bias;
    float output_scale;
  };
  Layer MakeLayer(const Value& input, const Shape& shape, std::int32_t channels,
                  std::int32_t channel_dimension, bool per_channel) {
    const std::int32_t taps = Elements(shape) / channels;
    const auto spread = static_cast<int>(5400 * std::sqrt(static_cast<double>(taps)));
    const float output_scale = random_.Float(0.01F, 0.2F);
    const float size =
        output_scale * 40 / (input.scale * static_cast<float>(spread) * random_.Float(0.5F, 2.0F));
    std::vector<float> scales;
    for (std::int32_t i = 0; i < (per_channel ? channels : 1); ++i) {
      scales.push_back(size * random_.Float(0.3F, 1.0F));
    }
    std::vector<std::int32_t> biases;
    for (std::int32_t i = 0; i < channels; ++i) biases.push_back(random_.Int(-spread, spread));
    Layer layer{};
    layer.weights = builder_.AddWeights(shape, Bytes(Elements(shape)), scales, channel_dimension);
    layer.bias = builder_.AddBias(biases);
    layer.output_scale = output_scale;
    return layer;
  }

  int Activation() { return random_.Int(0, 3); }

  Value FullyConnected(const Value& input, std::int32_t units, bool per_channel) {
    const std::int32_t depth = input.shape.back();
    const Layer layer = MakeLayer(input, {units, depth}, units, 0, per_channel);
    const Value output = Activation({Elements(input.shape) / depth, units}, layer.output_scale);
    builder_.AddOperator({9,
                          {input.tensor, layer.weights, layer.bias},
                          {output.tensor},
                          8,
                          {ByteOption(0, Activation())}});
    return output;
  }

  struct Sliding {
    std::int32_t height, width, stride_height, stride_width, dilation_height, dilation_width;
    bool same;
  };
  Sliding MakeSliding(const Value& input, bool dilate) {
    Sliding s{random_.Int(1, 5), random_.Int(1, 5), random_.Int(1, 3), random_.Int(1, 3), 1, 1,
              random_.Coin()};
    // TensorFlow Lite allows no strides beside dilations in some places, nor do trained models.
    if (dilate && random_.Int(0, 2) == 0) {
      s.dilation_height = random_.Int(1, 3);
      s.dilation_width = random_.Int(1, 3);
      s.stride_height = s.stride_width = 1;
    }
    if ((s.height - 1) * s.dilation_height >= input.shape[1] ||
        (s.width - 1) * s.dilation_width >= input.shape[2]) {
      s.same = true;
    }
    return s;
  }
  static std::int32_t OutSize(std::int32_t in, std::int32_t filter, std::int32_t stride,
                              std::int32_t dilation, bool same) {
    return same ? (in + stride - 1) / stride : (in - (filter - 1) * dilation - 1) / stride + 1;
  }
  static Shape OutShape(const Value& input, const Sliding& s, std::int32_t channels) {
    return {input.shape[0],
            OutSize(input.shape[1], s.height, s.stride_height, s.dilation_height, s.same),
            OutSize(input.shape[2], s.width, s.stride_width, s.dilation_width, s.same), channels};
  }

  Value Convolution(const Value& input, const Sliding& s, std::int32_t channels) {
    const Layer layer = MakeLayer(input, {channels, s.height, s.width, input.shape[3]}, channels, 0,
                                  random_.Int(0, 3) != 0);
    const Value output = Activation(OutShape(input, s, channels), layer.output_scale);
    builder_.AddOperator({3,
                          {input.tensor, layer.weights, layer.bias},
                          {output.tensor},
                          1,
                          {ByteOption(0, s.same ? 0 : 1), IntOption(1, s.stride_width),
                           IntOption(2, s.stride_height), ByteOption(3, Activation()),
                           IntOption(4, s.dilation_width), IntOption(5, s.dilation_height)}});
    return output;
  }

  Value Depthwise(const Value& input, const Sliding& s, std::int32_t multiplier) {
    const std::int32_t channels = input.shape[3] * multiplier;
    const Layer layer =
        MakeLayer(input, {1, s.height, s.width, channels}, channels, 3, random_.Int(0, 3) != 0);
    const Value output = Activation(OutShape(input, s, channels), layer.output_scale);
    builder_.AddOperator(
        {4,
         {input.tensor, layer.weights, layer.bias},
         {output.tensor},
         2,
         {ByteOption(0, s.same ? 0 : 1), IntOption(1, s.stride_width),
          IntOption(2, s.stride_height), IntOption(3, multiplier), ByteOption(4, Activation()),
          IntOption(5, s.dilation_width), IntOption(6, s.dilation_height)}});
    return output;
  }

  Value Pool(const Value& input, std::int32_t code, const Sliding& s) {
    const Value output = Like(input, OutShape(input, s, input.shape[3]));
    builder_.AddOperator({code,
                          {input.tensor},
                          {output.tensor},
                          5,
                          {ByteOption(0, s.same ? 0 : 1), IntOption(1, s.stride_width),
                           IntOption(2, s.stride_height), IntOption(3, s.width),
                           IntOption(4, s.height), ByteOption(5, Activation())}});
    return output;
  }

  Value Pair(std::int32_t code, const Value& a, const Value& b) {
    Shape shape = a.shape;
    for (std::size_t d = 0; d < b.shape.size(); ++d) {
      const std::size_t at = shape.size() - b.shape.size() + d;
      shape[at] = std::max(shape[at], b.shape[d]);
    }
    const float size = code == 0 ? a.scale + b.scale : 100 * a.scale * b.scale;
    const Value output = Activation(shape, size * random_.Float(0.5F, 1.5F));
    builder_.AddOperator({code,
                          {a.tensor, b.tensor},
                          {output.tensor},
                          static_cast<std::uint8_t>(code == 0 ? 11 : 21),
                          {ByteOption(0, Activation())}});
    return output;
  }

  Value Constant(const Shape& shape) {
    const float scale = random_.Float(0.01F, 0.2F);
    const std::int32_t tensor =
        builder_.AddWeights(shape, Bytes(Elements(shape), -128), {scale}, 0);
    builder_.tensor(tensor).zero_points = {random_.Int(-128, 127)};
    return {tensor, shape, scale};
  }

  Value Requantised(const Value& input, float scale) {
    const Value output = Activation(input.shape, scale);
    builder_.AddOperator({114, {input.tensor}, {output.tensor}, 0, {}});
    return output;
  }

  Value Reshaped(const Value& input, const Shape& shape) {
    const Value output = Like(input, shape);
    const std::int32_t numbers = Numbers(shape);
    builder_.AddOperator({22, {input.tensor, numbers}, {output.tensor}, 0, {}});
    return output;
  }

  Value Probability(const Value& input, bool softmax) {
    const std::int32_t tensor = builder_.AddActivation(input.shape, 1.0F / 256, -128);
    const Value output{tensor, input.shape, 1.0F / 256};
    if (softmax) {
      builder_.AddOperator({25, {input.tensor}, {tensor}, 9, {FloatOption(0, 1)}});
    } else {
      builder_.AddOperator({14, {input.tensor}, {tensor}, 0, {}});
    }
    return output;
  }

  Value Mean(const Value& input, const std::vector<std::int32_t>& axes, bool keep, bool one_scale) {
    Shape shape;
    for (std::int32_t d = 0; d < static_cast<std::int32_t>(input.shape.size()); ++d) {
      const bool reduced = std::find(axes.begin(), axes.end(), d) != axes.end();
      if (!reduced || keep) shape.push_back(reduced ? 1 : input.shape[static_cast<std::size_t>(d)]);
    }
    const Value output =
        one_scale ? Like(input, shape) : Activation(shape, input.scale * random_.Float(0.4F, 1.2F));
    const std::int32_t numbers = Numbers(axes);
    builder_.AddOperator(
        {40, {input.tensor, numbers}, {output.tensor}, 27, {ByteOption(0, keep ? 1 : 0)}});
    return output;
  }

  Ends Joined(const Value& input) {
    const auto axis = static_cast<std::size_t>(random_.Int(0, 3));
    const Value second = Like(input, input.shape);
    builder_.AddOperator({22, {input.tensor, Numbers(input.shape)}, {second.tensor}, 0, {}});
    Shape shape = input.shape;
    shape[axis] *= 3;
    const Value output = Like(input, shape);
    const int given = static_cast<int>(axis) - (random_.Coin() ? 4 : 0);
    builder_.AddOperator({2,
                          {input.tensor, second.tensor, input.tensor},
                          {output.tensor},
                          10,
                          {IntOption(0, given)}});
    return {input.tensor, output.tensor};
  }

  Ends Padded(const Value& input) {
    Shape shape = input.shape;
    std::vector<std::int32_t> paddings;
    for (std::int32_t& dim : shape) {
      for (int side = 0; side < 2; ++side) {
        paddings.push_back(random_.Int(0, 2));
        dim += paddings.back();
      }
    }
    const Value output = Like(input, shape);
    const std::int32_t tensor = Numbers(paddings);
    builder_.tensor(tensor).shape = {static_cast<std::int32_t>(shape.size()), 2};
    builder_.AddOperator({34, {input.tensor, tensor}, {output.tensor}, 22, {}});
    return {input.tensor, output.tensor};
  }

  // An ordinary keyword network: convolution, two separable blocks, mean or pool, dense, softmax.
  Ends Separable() {
    const Value input = Input({1, random_.Int(8, 20), random_.Int(6, 12), 1});
    Value x = Convolution(input, {random_.Int(2, 4), 3, 2, 1, 1, 1, true}, random_.Int(4, 16));
    for (int block = 0; block < 2; ++block) {
      x = Depthwise(x, {3, 3, block + 1, 1, 1, 1, true}, 1);
      x = Convolution(x, {1, 1, 1, 1, 1, 1, true}, random_.Int(4, 16));
    }
    x = Pool(x, 1, {x.shape[1], x.shape[2], 1, 1, 1, 1, false});
    x = Reshaped(x, {1, x.shape[3]});
    x = FullyConnected(x, random_.Int(2, 12), false);
    return {input.tensor, Probability(x, true).tensor};
  }

  Ends Residual() {
    const Value input = Input({1, random_.Int(6, 12), random_.Int(6, 12), 3});
    Value x = Convolution(input, {3, 3, 1, 1, 1, 1, true}, 8);
    for (int block = 0; block < 3; ++block) {
      Value y = Convolution(x, {3, 3, 1, 1, 1, 1, true}, 8);
      y = Convolution(y, {3, 3, 1, 1, 1, 1, true}, 8);
      x = Pair(0, y, x);
    }
    x = Mean(x, {1, 2}, true, false);
    return {input.tensor, FullyConnected(x, 10, false).tensor};
  }

  Ends FloatEnds() {
    TfliteTensor tensor;
    tensor.type = 0;
    tensor.shape = {1, random_.Int(4, 30)};
    const std::int32_t input = builder_.AddTensor(tensor);
    const Value quantised = Input(tensor.shape);
    builder_.AddOperator({114, {input}, {quantised.tensor}, 0, {}});
    const Value logits = FullyConnected(quantised, random_.Int(2, 8), false);
    tensor.shape = logits.shape;
    const std::int32_t output = builder_.AddTensor(tensor);
    builder_.AddOperator({6, {logits.tensor}, {output}, 0, {}});
    return {input, output};
  }

  Ends Make(const std::string& kind) {
    if (kind == "float ends") return FloatEnds();
    if (kind == "separable network") return Separable();
    if (kind == "residual network") return Residual();
    if (kind.rfind("fully connected", 0) == 0) {
      const Value input = Input({random_.Int(1, 3), random_.Int(1, 70)});
      const bool per_channel = kind != "fully connected";
      return {input.tensor, FullyConnected(input, random_.Int(1, 20), per_channel).tensor};
    }
    if (kind == "softmax") {
      const Value input = Input({random_.Int(1, 3), random_.Int(2, 40)});
      return {input.tensor, Probability(input, true).tensor};
    }
    const bool line = kind == "convolution in one dimension";
    const bool tall = random_.Coin();
    const std::int32_t length = random_.Int(4, 60);
    const Value input =
        line ? Input({1, tall ? length : 1, tall ? 1 : length, random_.Int(1, 12)}) : Image();
    return {input.tensor, MakeFrom(kind, input, tall)};
  }

  std::int32_t MakeFrom(const std::string& kind, const Value& input, bool tall) {
    if (kind == "convolution") {
      return Convolution(input, MakeSliding(input, true), random_.Int(1, 18)).tensor;
    }
    if (kind == "convolution in one dimension") {
      Sliding s = MakeSliding(input, true);
      (tall ? s.width : s.height) = 1;
      (tall ? s.stride_width : s.stride_height) = 1;
      (tall ? s.dilation_width : s.dilation_height) = 1;
      return Convolution(input, s, random_.Int(1, 18)).tensor;
    }
    if (kind == "depthwise") {
      return Depthwise(input, MakeSliding(input, true), random_.Pick<int>({1, 1, 2, 3})).tensor;
    }
    if (kind == "average pool") return Pool(input, 1, MakeSliding(input, false)).tensor;
    if (kind == "maximum pool") return Pool(input, 17, MakeSliding(input, false)).tensor;
    if (kind == "mean") {
      return Mean(input, random_.Coin() ? Shape{1, 2} : Shape{2, 1}, true, random_.Coin()).tensor;
    }
    if (kind.rfind("mean, other axes", 0) == 0) {
      const Shape axes = random_.Pick<Shape>({{1}, {2}, {3}, {0, 3}, {1, 2, 3}});
      return Mean(input, axes, random_.Coin(), kind != "mean, other axes").tensor;
    }
    if (kind == "add" || kind == "mul") {
      const Value other = Requantised(input, input.scale * random_.Float(0.5F, 2.0F));
      return Pair(kind == "add" ? 0 : 18, input, other).tensor;
    }
    if (kind == "add, broadcast" || kind == "mul, broadcast") {
      const Shape& s = input.shape;
      const Value other = Constant(
          random_.Pick<Shape>({{s[3]}, {1}, {1, s[1], 1, s[3]}, {s[2], 1}, {1, 1, 1, s[3]}, s}));
      return Pair(kind == "add, broadcast" ? 0 : 18, input, other).tensor;
    }
    if (kind == "pad") return Padded(input).second;
    if (kind == "concatenation") return Joined(input).second;
    if (kind == "reshape") return Reshaped(input, {1, Elements(input.shape)}).tensor;
    if (kind == "quantize") return Requantised(input, input.scale * random_.Float(0.4F, 3)).tensor;
    return Probability(input, false).tensor;
  }

  FixedRandom random_{1};
  TfliteBuilder builder_;
};

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_AGENT_IMPULSE_MODEL_GENERATOR_H_
