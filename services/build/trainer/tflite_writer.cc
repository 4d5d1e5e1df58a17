// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/tflite_writer.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <tflite_generated.h>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "absl/strings/str_cat.h"

namespace fieldloop::build::trainer {
namespace {

using flatbuffers::Offset;

constexpr std::uint32_t kModelVersion = 3;
constexpr std::int32_t kFullyConnectedVersion = 4;  // int8.
constexpr std::int32_t kSoftmaxVersion = 2;         // int8.
constexpr std::uint32_t kFullyConnected = 0;        // Index into the operator codes.
constexpr std::uint32_t kSoftmax = 1;
constexpr QuantisedRange kProbabilities = {.scale = 1.0F / 256.0F, .zero_point = -128};
constexpr char kMetadataName[] = "fieldloop.impulse";

template <typename T>
std::vector<std::uint8_t> ToBytes(const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
  return {bytes, bytes + values.size() * sizeof(T)};
}

// Collects tensors, buffers and operators of the one subgraph.
class GraphWriter {
 public:
  GraphWriter() {
    AddBuffer({});  // By the format, buffer 0 is empty: that of tensors without content.
  }

  std::uint32_t AddBuffer(const std::vector<std::uint8_t>& data) {
    buffers_.push_back(data.empty() ? tflite::CreateBuffer(builder_)
                                    : tflite::CreateBufferDirect(builder_, &data));
    return static_cast<std::uint32_t>(buffers_.size() - 1);
  }

  std::int32_t AddTensor(const std::string& name, const std::vector<std::int32_t>& shape,
                         tflite::TensorType type, std::uint32_t buffer, QuantisedRange range) {
    const std::vector<float> scale = {range.scale};
    const std::vector<std::int64_t> zero_point = {range.zero_point};
    const auto quantization =
        tflite::CreateQuantizationParametersDirect(builder_, nullptr, nullptr, &scale, &zero_point);
    tensors_.push_back(
        tflite::CreateTensorDirect(builder_, &shape, type, buffer, name.c_str(), quantization));
    return static_cast<std::int32_t>(tensors_.size() - 1);
  }

  std::int32_t AddActivation(const std::string& name, std::size_t size, QuantisedRange range) {
    return AddTensor(name, {1, static_cast<std::int32_t>(size)}, tflite::TensorType_INT8, 0, range);
  }

  // Returns the tensor of its output.
  std::int32_t AddLayer(const QuantisedLayer& layer, std::int32_t input, bool last,
                        const std::string& name) {
    const auto outputs = static_cast<std::int32_t>(layer.outputs);
    const auto inputs = static_cast<std::int32_t>(layer.inputs);
    const std::int32_t weights = AddTensor(
        name + "/weights", {outputs, inputs}, tflite::TensorType_INT8,
        AddBuffer(ToBytes(layer.weights)), {.scale = layer.weight_scale, .zero_point = 0});
    const std::int32_t bias =
        AddTensor(name + "/bias", {outputs}, tflite::TensorType_INT32,
                  AddBuffer(ToBytes(layer.bias)), {.scale = layer.bias_scale, .zero_point = 0});
    const std::int32_t output = AddActivation(name, layer.outputs, layer.output);
    const auto options = tflite::CreateFullyConnectedOptions(
        builder_, last ? tflite::ActivationFunctionType_NONE : tflite::ActivationFunctionType_RELU);
    AddOperator(kFullyConnected, {input, weights, bias}, output,
                tflite::BuiltinOptions_FullyConnectedOptions, options.Union());
    return output;
  }

  std::int32_t AddSoftmax(std::int32_t input, std::size_t classes) {
    const std::int32_t output = AddTensor("probabilities", {1, static_cast<std::int32_t>(classes)},
                                          tflite::TensorType_INT8, 0, kProbabilities);
    AddOperator(kSoftmax, {input}, output, tflite::BuiltinOptions_SoftmaxOptions,
                tflite::CreateSoftmaxOptions(builder_, /*beta=*/1.0F).Union());
    return output;
  }

  std::string Finish(std::int32_t input, std::int32_t output, absl::string_view metadata) {
    const std::uint32_t metadata_buffer =
        AddBuffer(std::vector<std::uint8_t>(metadata.begin(), metadata.end()));
    const std::vector<Offset<tflite::OperatorCode>> codes = {
        Code(tflite::BuiltinOperator_FULLY_CONNECTED, kFullyConnectedVersion),
        Code(tflite::BuiltinOperator_SOFTMAX, kSoftmaxVersion)};
    const std::vector<std::int32_t> inputs = {input};
    const std::vector<std::int32_t> outputs = {output};
    const std::vector<Offset<tflite::SubGraph>> subgraphs = {
        tflite::CreateSubGraphDirect(builder_, &tensors_, &inputs, &outputs, &operators_, "main")};
    const std::vector<Offset<tflite::Metadata>> entries = {
        tflite::CreateMetadataDirect(builder_, kMetadataName, metadata_buffer)};
    const auto model = tflite::CreateModelDirect(builder_, kModelVersion, &codes, &subgraphs,
                                                 "Made by Fieldloop", &buffers_, &entries);
    tflite::FinishModelBuffer(builder_, model);
    return {reinterpret_cast<const char*>(builder_.GetBufferPointer()), builder_.GetSize()};
  }

 private:
  Offset<tflite::OperatorCode> Code(tflite::BuiltinOperator code, std::int32_t version) {
    // Older readers know the first field only.
    return tflite::CreateOperatorCode(builder_, static_cast<std::int8_t>(code), version, code);
  }

  void AddOperator(std::uint32_t code, const std::vector<std::int32_t>& inputs, std::int32_t output,
                   tflite::BuiltinOptions options_type, Offset<void> options) {
    const std::vector<std::int32_t> outputs = {output};
    operators_.push_back(
        tflite::CreateOperatorDirect(builder_, code, &inputs, &outputs, options_type, options));
  }

  flatbuffers::FlatBufferBuilder builder_;
  std::vector<Offset<tflite::Buffer>> buffers_;
  std::vector<Offset<tflite::Tensor>> tensors_;
  std::vector<Offset<tflite::Operator>> operators_;
};

}  // namespace

std::string WriteTflite(const QuantisedNetwork& network, absl::string_view metadata) {
  GraphWriter writer;
  const std::int32_t input =
      writer.AddActivation("features", network.layers.front().inputs, network.input);
  std::int32_t tensor = input;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const bool last = i + 1 == network.layers.size();
    tensor = writer.AddLayer(network.layers[i], tensor, last,
                             last ? "logits" : absl::StrCat("dense_", i + 1));
  }
  const std::int32_t output = writer.AddSoftmax(tensor, network.layers.back().outputs);
  return writer.Finish(input, output, metadata);
}

}  // namespace fieldloop::build::trainer
