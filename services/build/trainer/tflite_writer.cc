// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/tflite_writer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tflite_generated.h>
#include <utility>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "absl/strings/str_cat.h"
#include "services/build/trainer/tflite_layers.h"

namespace fieldloop::build::trainer {
namespace {

using flatbuffers::Offset;

constexpr std::uint32_t kModelVersion = 3;
constexpr QuantisedRange kProbabilities = {.scale = 1.0F / 256.0F, .zero_point = -128};

// The version of each operator that brought its int8 form.
std::int32_t VersionOf(tflite::BuiltinOperator code) {
  switch (code) {
    case tflite::BuiltinOperator_CONV_2D:
      return 3;
    case tflite::BuiltinOperator_DEPTHWISE_CONV_2D:
      return 3;
    case tflite::BuiltinOperator_FULLY_CONNECTED:
      return 4;
    case tflite::BuiltinOperator_RESHAPE:
      return 1;
    default:
      return 2;
  }
}

template <typename T>
std::vector<std::uint8_t> ToBytes(const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
  return {bytes, bytes + values.size() * sizeof(T)};
}

std::vector<std::int32_t> ImageDimensions(const Shape& shape) {
  return Dimensions({1, shape.height, shape.width, shape.channels});
}

// Collects tensors, buffers and operators of the one subgraph.
class GraphWriter {
 public:
  GraphWriter() {
    AddBuffer({});  // By the format, buffer 0 is empty: that of tensors without content.
  }

  // An int8 tensor that is computed.
  std::int32_t AddActivation(const std::string& name, const std::vector<std::int32_t>& shape,
                             QuantisedRange range) {
    return AddTensor(name, shape, tflite::TensorType_INT8, 0, {range.scale}, {range.zero_point}, 0);
  }

  std::int32_t AddReshape(std::int32_t input, const std::string& name, const Shape& shape,
                          QuantisedRange range) {
    const std::vector<std::int32_t> dimensions = ImageDimensions(shape);
    const std::int32_t target = static_cast<std::int32_t>(tensors_.size());
    const std::vector<std::int32_t> target_shape = {static_cast<std::int32_t>(dimensions.size())};
    tensors_.push_back(tflite::CreateTensorDirect(builder_, &target_shape, tflite::TensorType_INT32,
                                                  AddBuffer(ToBytes(dimensions)),
                                                  (name + "/shape").c_str()));
    const std::int32_t output = AddActivation(name, dimensions, range);
    AddOperator(tflite::BuiltinOperator_RESHAPE, {input, target}, output,
                tflite::BuiltinOptions_ReshapeOptions,
                tflite::CreateReshapeOptionsDirect(builder_, &dimensions).Union());
    return output;
  }

  // Returns the tensor of its output.
  std::int32_t AddLayer(const QuantisedLayer& layer, QuantisedRange input_range, std::int32_t input,
                        const std::string& name) {
    const LayerForm& form = layer.form;
    std::vector<std::int32_t> inputs = {input};
    if (!form.is_pool()) {
      inputs.push_back(AddTensor(name + "/weights", WeightDimensions(form), tflite::TensorType_INT8,
                                 AddBuffer(ToBytes(layer.weights)), layer.weight_scales,
                                 std::vector<std::int64_t>(layer.weight_scales.size(), 0),
                                 form.kind == LayerKind::kDepthwise ? 3 : 0));
      std::vector<float> bias_scales;
      for (const float scale : layer.weight_scales) {
        bias_scales.push_back(input_range.scale * scale);
      }
      inputs.push_back(AddTensor(name + "/bias", Dimensions({layer.bias.size()}),
                                 tflite::TensorType_INT32, AddBuffer(ToBytes(layer.bias)),
                                 bias_scales, std::vector<std::int64_t>(bias_scales.size(), 0), 0));
    }
    const std::int32_t output =
        AddActivation(name,
                      form.kind == LayerKind::kDense ? Dimensions({1, form.output.channels})
                                                     : ImageDimensions(form.output),
                      layer.output);
    AddOperator(OperatorOf(form.kind), inputs, output, OptionsType(form.kind), Options(form));
    return output;
  }

  std::int32_t AddSoftmax(std::int32_t input, std::size_t classes) {
    const std::int32_t output =
        AddActivation("probabilities", Dimensions({1, classes}), kProbabilities);
    AddOperator(tflite::BuiltinOperator_SOFTMAX, {input}, output,
                tflite::BuiltinOptions_SoftmaxOptions,
                tflite::CreateSoftmaxOptions(builder_, /*beta=*/1.0F).Union());
    return output;
  }

  std::string Finish(std::int32_t input, std::int32_t output, absl::string_view metadata) {
    const std::uint32_t metadata_buffer =
        AddBuffer(std::vector<std::uint8_t>(metadata.begin(), metadata.end()));
    std::vector<Offset<tflite::OperatorCode>> codes;
    for (const tflite::BuiltinOperator code : codes_) {
      // Older readers know the first field only.
      codes.push_back(tflite::CreateOperatorCode(builder_, static_cast<std::int8_t>(code),
                                                 VersionOf(code), code));
    }
    const std::vector<std::int32_t> inputs = {input};
    const std::vector<std::int32_t> outputs = {output};
    const std::vector<Offset<tflite::SubGraph>> subgraphs = {
        tflite::CreateSubGraphDirect(builder_, &tensors_, &inputs, &outputs, &operators_, "main")};
    const std::vector<Offset<tflite::Metadata>> entries = {
        tflite::CreateMetadataDirect(builder_, kImpulseMetadataName, metadata_buffer)};
    const auto model = tflite::CreateModelDirect(builder_, kModelVersion, &codes, &subgraphs,
                                                 "Made by Fieldloop", &buffers_, &entries);
    tflite::FinishModelBuffer(builder_, model);
    return {reinterpret_cast<const char*>(builder_.GetBufferPointer()), builder_.GetSize()};
  }

 private:
  std::uint32_t AddBuffer(const std::vector<std::uint8_t>& data) {
    buffers_.push_back(data.empty() ? tflite::CreateBuffer(builder_)
                                    : tflite::CreateBufferDirect(builder_, &data));
    return static_cast<std::uint32_t>(buffers_.size() - 1);
  }

  std::int32_t AddTensor(const std::string& name, const std::vector<std::int32_t>& shape,
                         tflite::TensorType type, std::uint32_t buffer,
                         const std::vector<float>& scales,
                         const std::vector<std::int64_t>& zero_points,
                         std::int32_t quantised_dimension) {
    const auto quantization = tflite::CreateQuantizationParametersDirect(
        builder_, nullptr, nullptr, &scales, &zero_points, quantised_dimension);
    tensors_.push_back(
        tflite::CreateTensorDirect(builder_, &shape, type, buffer, name.c_str(), quantization));
    return static_cast<std::int32_t>(tensors_.size() - 1);
  }

  static tflite::BuiltinOptions OptionsType(LayerKind kind) {
    switch (kind) {
      case LayerKind::kConvolution:
        return tflite::BuiltinOptions_Conv2DOptions;
      case LayerKind::kDepthwise:
        return tflite::BuiltinOptions_DepthwiseConv2DOptions;
      case LayerKind::kDense:
        return tflite::BuiltinOptions_FullyConnectedOptions;
      default:
        return tflite::BuiltinOptions_Pool2DOptions;
    }
  }

  Offset<void> Options(const LayerForm& form) {
    const auto activation =
        form.relu ? tflite::ActivationFunctionType_RELU : tflite::ActivationFunctionType_NONE;
    const auto height = static_cast<std::int32_t>(form.stride_height);
    const auto width = static_cast<std::int32_t>(form.stride_width);
    switch (form.kind) {
      case LayerKind::kConvolution:
        return tflite::CreateConv2DOptions(builder_, tflite::Padding_SAME, width, height,
                                           activation)
            .Union();
      case LayerKind::kDepthwise:
        return tflite::CreateDepthwiseConv2DOptions(builder_, tflite::Padding_SAME, width, height,
                                                    /*depth_multiplier=*/1, activation)
            .Union();
      case LayerKind::kDense:
        return tflite::CreateFullyConnectedOptions(builder_, activation).Union();
      default:
        return tflite::CreatePool2DOptions(builder_, tflite::Padding_VALID, width, height,
                                           static_cast<std::int32_t>(form.kernel_width),
                                           static_cast<std::int32_t>(form.kernel_height),
                                           activation)
            .Union();
    }
  }

  void AddOperator(tflite::BuiltinOperator code, const std::vector<std::int32_t>& inputs,
                   std::int32_t output, tflite::BuiltinOptions options_type, Offset<void> options) {
    auto place = std::find(codes_.begin(), codes_.end(), code);
    if (place == codes_.end()) {
      place = codes_.insert(codes_.end(), code);
    }
    const std::vector<std::int32_t> outputs = {output};
    operators_.push_back(
        tflite::CreateOperatorDirect(builder_, static_cast<std::uint32_t>(place - codes_.begin()),
                                     &inputs, &outputs, options_type, options));
  }

  flatbuffers::FlatBufferBuilder builder_;
  std::vector<tflite::BuiltinOperator> codes_;
  std::vector<Offset<tflite::Buffer>> buffers_;
  std::vector<Offset<tflite::Tensor>> tensors_;
  std::vector<Offset<tflite::Operator>> operators_;
};

const char* NameOf(LayerKind kind) {
  switch (kind) {
    case LayerKind::kDense:
      return "dense";
    case LayerKind::kConvolution:
      return "convolution";
    case LayerKind::kDepthwise:
      return "depthwise";
    case LayerKind::kMaxPool:
      return "max_pool";
    case LayerKind::kAveragePool:
      return "average_pool";
  }
  return "";
}

}  // namespace

std::string WriteTflite(const QuantisedNetwork& network, absl::string_view metadata) {
  GraphWriter writer;
  const LayerForm& first = network.layers.front().form;
  const std::int32_t input =
      writer.AddActivation("features", Dimensions({1, first.input.size()}), network.input);
  std::int32_t tensor = input;
  if (first.kind != LayerKind::kDense) {
    tensor = writer.AddReshape(input, "image", first.input, network.input);
  }
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const QuantisedLayer& layer = network.layers[i];
    const bool last = i + 1 == network.layers.size();
    tensor = writer.AddLayer(layer, network.input_of(i), tensor,
                             last ? "logits" : absl::StrCat(NameOf(layer.form.kind), "_", i + 1));
  }
  const std::int32_t output = writer.AddSoftmax(tensor, network.layers.back().form.output.channels);
  return writer.Finish(input, output, metadata);
}

}  // namespace fieldloop::build::trainer
