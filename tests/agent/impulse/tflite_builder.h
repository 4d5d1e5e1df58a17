// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_IMPULSE_TFLITE_BUILDER_H_
#define FIELDLOOP_TESTS_AGENT_IMPULSE_TFLITE_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <flatbuffers/flatbuffers.h>

namespace fieldloop::testing {

inline constexpr std::uint8_t kInt32Type = 2;
inline constexpr std::uint8_t kInt8Type = 9;

struct TfliteTensor {
  std::vector<std::int32_t> shape;
  std::uint8_t type = kInt8Type;
  std::string data;  // Empty: computed.
  std::vector<float> scales;
  std::vector<std::int64_t> zero_points;
  std::int32_t quantized_dimension = 0;
};

// One scalar field of an options table.
struct TfliteOption {
  enum class Kind { kByte, kInt, kFloat };
  std::uint16_t field;
  Kind kind;
  double value;
};

struct TfliteOperator {
  std::int32_t code = 0;
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> outputs;
  std::uint8_t options_type = 0;  // 0: no options.
  std::vector<TfliteOption> options;
};

// Writes small .tflite files, also invalid ones, field by field.
class TfliteBuilder {
 public:
  std::int32_t AddTensor(TfliteTensor tensor) {
    tensors_.push_back(std::move(tensor));
    return static_cast<std::int32_t>(tensors_.size()) - 1;
  }
  std::int32_t AddActivation(std::vector<std::int32_t> shape, float scale,
                             std::int64_t zero_point) {
    TfliteTensor tensor;
    tensor.shape = std::move(shape);
    tensor.scales = {scale};
    tensor.zero_points = {zero_point};
    return AddTensor(std::move(tensor));
  }
  std::int32_t AddWeights(std::vector<std::int32_t> shape, const std::vector<std::int8_t>& values,
                          std::vector<float> scales, std::int32_t quantized_dimension) {
    TfliteTensor tensor;
    tensor.shape = std::move(shape);
    tensor.data.assign(values.begin(), values.end());
    tensor.zero_points.assign(scales.size(), 0);
    tensor.scales = std::move(scales);
    tensor.quantized_dimension = quantized_dimension;
    return AddTensor(std::move(tensor));
  }
  std::int32_t AddBias(const std::vector<std::int32_t>& values) {
    TfliteTensor tensor;
    tensor.shape = {static_cast<std::int32_t>(values.size())};
    tensor.type = kInt32Type;
    tensor.data.resize(values.size() * sizeof(std::int32_t));
    std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
    return AddTensor(std::move(tensor));
  }
  void AddOperator(TfliteOperator op) { operators_.push_back(std::move(op)); }
  void AddMetadata(std::string name, std::string content) {
    metadata_.emplace_back(std::move(name), std::move(content));
  }
  TfliteTensor& tensor(std::int32_t index) { return tensors_[static_cast<std::size_t>(index)]; }

  std::vector<std::uint8_t> Build(std::int32_t input, std::int32_t output) const {
    flatbuffers::FlatBufferBuilder fbb;
    std::vector<Table> buffers = {BufferTable(fbb, "")};
    std::vector<Table> tensors;
    for (const TfliteTensor& tensor : tensors_) {
      tensors.push_back(TensorTable(fbb, tensor, static_cast<std::uint32_t>(buffers.size())));
      buffers.push_back(BufferTable(fbb, tensor.data));
    }
    std::vector<Table> codes;
    std::vector<Table> operators;
    for (const TfliteOperator& op : operators_) {
      operators.push_back(OperatorTable(fbb, op, static_cast<std::uint32_t>(codes.size())));
      codes.push_back(CodeTable(fbb, op.code));
    }
    std::vector<Table> metadata;
    for (const auto& [name, content] : metadata_) {
      metadata.push_back(MetadataTable(fbb, name, static_cast<std::uint32_t>(buffers.size())));
      buffers.push_back(BufferTable(fbb, content));
    }
    const auto tensor_vector = fbb.CreateVector(tensors);
    const auto inputs = fbb.CreateVector(std::vector<std::int32_t>{input});
    const auto outputs = fbb.CreateVector(std::vector<std::int32_t>{output});
    const auto operator_vector = fbb.CreateVector(operators);
    const auto subgraph_start = fbb.StartTable();
    fbb.AddOffset(Slot(0), tensor_vector);
    fbb.AddOffset(Slot(1), inputs);
    fbb.AddOffset(Slot(2), outputs);
    fbb.AddOffset(Slot(3), operator_vector);
    const std::vector<Table> subgraphs = {Table(fbb.EndTable(subgraph_start))};
    const auto code_vector = fbb.CreateVector(codes);
    const auto subgraph_vector = fbb.CreateVector(subgraphs);
    const auto buffer_vector = fbb.CreateVector(buffers);
    const auto metadata_vector = fbb.CreateVector(metadata);
    const auto model_start = fbb.StartTable();
    fbb.AddElement<std::uint32_t>(Slot(0), 3, 0);
    fbb.AddOffset(Slot(1), code_vector);
    fbb.AddOffset(Slot(2), subgraph_vector);
    fbb.AddOffset(Slot(4), buffer_vector);
    fbb.AddOffset(Slot(6), metadata_vector);
    fbb.Finish(Table(fbb.EndTable(model_start)), "TFL3");
    return {fbb.GetBufferPointer(), fbb.GetBufferPointer() + fbb.GetSize()};
  }

 private:
  using Builder = flatbuffers::FlatBufferBuilder;
  using Table = flatbuffers::Offset<flatbuffers::Table>;

  static flatbuffers::voffset_t Slot(std::uint16_t field) {
    return static_cast<flatbuffers::voffset_t>(4 + 2 * field);
  }

  static Table BufferTable(Builder& fbb, const std::string& data) {
    flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> vector;
    if (!data.empty()) {
      fbb.ForceVectorAlignment(data.size(), 1, 16);
      vector = fbb.CreateVector(std::vector<std::uint8_t>(data.begin(), data.end()));
    }
    const auto start = fbb.StartTable();
    if (!data.empty()) fbb.AddOffset(Slot(0), vector);
    return {fbb.EndTable(start)};
  }

  static Table TensorTable(Builder& fbb, const TfliteTensor& tensor, std::uint32_t buffer) {
    const auto scales = fbb.CreateVector(tensor.scales);
    const auto zero_points = fbb.CreateVector(tensor.zero_points);
    const auto quantisation_start = fbb.StartTable();
    fbb.AddOffset(Slot(2), scales);
    fbb.AddOffset(Slot(3), zero_points);
    fbb.AddElement<std::int32_t>(Slot(6), tensor.quantized_dimension, 0);
    const Table quantisation(fbb.EndTable(quantisation_start));
    const auto shape = fbb.CreateVector(tensor.shape);
    const auto start = fbb.StartTable();
    fbb.AddOffset(Slot(0), shape);
    fbb.AddElement<std::uint8_t>(Slot(1), tensor.type, 0);
    fbb.AddElement<std::uint32_t>(Slot(2), buffer, 0);
    fbb.AddOffset(Slot(4), quantisation);
    return {fbb.EndTable(start)};
  }

  static Table OperatorTable(Builder& fbb, const TfliteOperator& op, std::uint32_t code) {
    Table options;
    if (op.options_type != 0) {
      const auto options_start = fbb.StartTable();
      for (const TfliteOption& option : op.options) {
        if (option.kind == TfliteOption::Kind::kByte) {
          fbb.AddElement(Slot(option.field), static_cast<std::uint8_t>(option.value));
        } else if (option.kind == TfliteOption::Kind::kInt) {
          fbb.AddElement(Slot(option.field), static_cast<std::int32_t>(option.value));
        } else {
          fbb.AddElement(Slot(option.field), static_cast<float>(option.value));
        }
      }
      options = Table(fbb.EndTable(options_start));
    }
    const auto inputs = fbb.CreateVector(op.inputs);
    const auto outputs = fbb.CreateVector(op.outputs);
    const auto start = fbb.StartTable();
    fbb.AddElement<std::uint32_t>(Slot(0), code, 0);
    fbb.AddOffset(Slot(1), inputs);
    fbb.AddOffset(Slot(2), outputs);
    if (op.options_type != 0) {
      fbb.AddElement<std::uint8_t>(Slot(3), op.options_type, 0);
      fbb.AddOffset(Slot(4), options);
    }
    return {fbb.EndTable(start)};
  }

  static Table CodeTable(Builder& fbb, std::int32_t code) {
    const auto start = fbb.StartTable();
    fbb.AddElement<std::int8_t>(Slot(0), static_cast<std::int8_t>(code), 0);
    fbb.AddElement<std::int32_t>(Slot(3), code, 0);
    return {fbb.EndTable(start)};
  }

  static Table MetadataTable(Builder& fbb, const std::string& name, std::uint32_t buffer) {
    const auto text = fbb.CreateString(name);
    const auto start = fbb.StartTable();
    fbb.AddOffset(Slot(0), text);
    fbb.AddElement<std::uint32_t>(Slot(1), buffer, 0);
    return {fbb.EndTable(start)};
  }

  std::vector<TfliteTensor> tensors_;
  std::vector<TfliteOperator> operators_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

inline TfliteOption ByteOption(std::uint16_t field, int value) {
  return {field, TfliteOption::Kind::kByte, static_cast<double>(value)};
}
inline TfliteOption IntOption(std::uint16_t field, int value) {
  return {field, TfliteOption::Kind::kInt, static_cast<double>(value)};
}
inline TfliteOption FloatOption(std::uint16_t field, float value) {
  return {field, TfliteOption::Kind::kFloat, static_cast<double>(value)};
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_AGENT_IMPULSE_TFLITE_BUILDER_H_
