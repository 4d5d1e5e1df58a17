// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/parent_model.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tflite_generated.h>
#include <vector>

#include <flatbuffers/flatbuffers.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/build/trainer/tflite_layers.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using fieldloop::agent::v1::Impulse;

absl::Status Refuse(absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat("the parent model: got ", got, ", want ", want, "; build without a parent"));
}

absl::Status Broken(absl::string_view what) { return Refuse(what, "a model of this trainer"); }

// Reads the parts of a verified flatbuffer; every index is checked.
class ModelReader {
 public:
  explicit ModelReader(const tflite::Model& model) : model_(model) {}

  absl::StatusOr<QuantisedNetwork> ReadNetwork(const Network& description) const {
    if (model_.subgraphs() == nullptr || model_.subgraphs()->size() != 1) {
      return Broken("not one subgraph");
    }
    const tflite::SubGraph& graph = *model_.subgraphs()->Get(0);
    const std::size_t first = description.layers.front().form.kind == LayerKind::kDense ? 0 : 1;
    const std::size_t wanted = first + description.layers.size() + 1;
    if (graph.operators() == nullptr || graph.operators()->size() != wanted) {
      return Refuse(
          absl::StrCat(graph.operators() == nullptr ? 0 : graph.operators()->size(), " operators"),
          absl::StrCat(wanted, " as in the network of the recipe"));
    }
    QuantisedNetwork network;
    for (std::size_t i = 0; i < description.layers.size(); ++i) {
      const auto index = static_cast<flatbuffers::uoffset_t>(first + i);
      FIELDLOOP_RETURN_IF_ERROR(
          ReadLayer(graph, *graph.operators()->Get(index), description.layers[i].form, i, network));
    }
    return network;
  }

  absl::StatusOr<Impulse> ReadImpulse() const {
    if (model_.metadata() != nullptr) {
      for (const tflite::Metadata* entry : *model_.metadata()) {
        if (entry->name() != nullptr && entry->name()->str() == kImpulseMetadataName) {
          FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::uint8_t> bytes,
                                     Content<std::uint8_t>(entry->buffer()));
          Impulse impulse;
          if (impulse.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
            return impulse;
          }
        }
      }
    }
    return Broken("no impulse");
  }

 private:
  absl::Status ReadLayer(const tflite::SubGraph& graph, const tflite::Operator& node,
                         const LayerForm& form, std::size_t number,
                         QuantisedNetwork& network) const {
    const std::size_t inputs = form.is_pool() ? 1 : 3;
    if (node.inputs() == nullptr || node.inputs()->size() != inputs || node.outputs() == nullptr ||
        node.outputs()->size() != 1 || CodeOf(node) != OperatorOf(form.kind)) {
      return Refuse(absl::StrCat("another kind of layer ", number + 1),
                    "the network of the recipe");
    }
    QuantisedLayer layer{
        .form = form, .weights = {}, .weight_scales = {}, .bias = {}, .output = {}};
    QuantisedRange input;
    FIELDLOOP_RETURN_IF_ERROR(ReadRange(graph, node.inputs()->Get(0), form.input.size(), input));
    FIELDLOOP_RETURN_IF_ERROR(
        ReadRange(graph, node.outputs()->Get(0), form.output.size(), layer.output));
    if (!SameWindow(node, form)) {
      return Refuse(absl::StrCat("another stride or window in layer ", number + 1),
                    "the network of the recipe");
    }
    if (!form.is_pool()) {
      FIELDLOOP_ASSIGN_OR_RETURN(const tflite::Tensor* weights,
                                 TensorAt(graph, node.inputs()->Get(1)));
      FIELDLOOP_ASSIGN_OR_RETURN(const tflite::Tensor* bias,
                                 TensorAt(graph, node.inputs()->Get(2)));
      const std::vector<std::int32_t> dimensions = WeightDimensions(form);
      if (weights->shape() == nullptr ||
          std::vector<std::int32_t>(weights->shape()->begin(), weights->shape()->end()) !=
              dimensions) {
        return Refuse(absl::StrCat("other sizes in layer ", number + 1),
                      "the network of the recipe");
      }
      FIELDLOOP_ASSIGN_OR_RETURN(layer.weights, Content<std::int8_t>(weights->buffer()));
      FIELDLOOP_ASSIGN_OR_RETURN(layer.bias, Content<std::int32_t>(bias->buffer()));
      if (weights->quantization() != nullptr && weights->quantization()->scale() != nullptr) {
        layer.weight_scales.assign(weights->quantization()->scale()->begin(),
                                   weights->quantization()->scale()->end());
      }
      const std::size_t scales = form.kind == LayerKind::kDense ? 1 : form.output.channels;
      if (layer.weights.size() != form.weight_count() || layer.bias.size() != form.bias_count() ||
          layer.weight_scales.size() != scales) {
        return Broken(absl::StrCat("a layer ", number + 1, " that is not whole"));
      }
      for (const float scale : layer.weight_scales) {
        if (!std::isnormal(scale) || scale < 0) {
          return Broken("a weight scale that is no positive number");
        }
      }
    }
    if (number == 0) {
      network.input = input;
    }
    network.layers.push_back(std::move(layer));
    return absl::OkStatus();
  }

  tflite::BuiltinOperator CodeOf(const tflite::Operator& node) const {
    if (model_.operator_codes() == nullptr ||
        node.opcode_index() >= model_.operator_codes()->size()) {
      return tflite::BuiltinOperator_SOFTMAX;  // Which no layer is.
    }
    return model_.operator_codes()->Get(node.opcode_index())->builtin_code();
  }

  // Strides, and the windows of pools; those of convolutions are in the shape of their weights.
  static bool SameWindow(const tflite::Operator& node, const LayerForm& form) {
    const auto same = [&form](const auto* options) {
      return options != nullptr &&
             options->stride_h() == static_cast<std::int32_t>(form.stride_height) &&
             options->stride_w() == static_cast<std::int32_t>(form.stride_width);
    };
    switch (form.kind) {
      case LayerKind::kDense:
        return true;
      case LayerKind::kConvolution:
        return same(node.builtin_options_as_Conv2DOptions());
      case LayerKind::kDepthwise:
        return same(node.builtin_options_as_DepthwiseConv2DOptions());
      default:
        return same(node.builtin_options_as_Pool2DOptions());
    }
  }

  static absl::StatusOr<const tflite::Tensor*> TensorAt(const tflite::SubGraph& graph,
                                                        std::int32_t index) {
    if (graph.tensors() == nullptr || index < 0 ||
        static_cast<std::uint32_t>(index) >= graph.tensors()->size()) {
      return Broken("a tensor that is missing");
    }
    return graph.tensors()->Get(static_cast<flatbuffers::uoffset_t>(index));
  }

  static absl::Status ReadRange(const tflite::SubGraph& graph, std::int32_t index, std::size_t size,
                                QuantisedRange& range) {
    FIELDLOOP_ASSIGN_OR_RETURN(const tflite::Tensor* tensor, TensorAt(graph, index));
    std::size_t elements = tensor->shape() == nullptr ? 0 : 1;
    if (tensor->shape() != nullptr) {
      for (const std::int32_t dimension : *tensor->shape()) {
        elements *= static_cast<std::size_t>(dimension);
      }
    }
    if (elements != size) {
      return Refuse(absl::StrCat("a tensor of ", elements, " values"),
                    absl::StrCat(size, " as in the network of the recipe"));
    }
    const tflite::QuantizationParameters* quantisation = tensor->quantization();
    if (quantisation == nullptr || quantisation->scale() == nullptr ||
        quantisation->scale()->size() != 1 || quantisation->zero_point() == nullptr ||
        quantisation->zero_point()->size() != 1) {
      return Broken("a tensor without a scale");
    }
    const std::int64_t zero_point = quantisation->zero_point()->Get(0);
    range.scale = quantisation->scale()->Get(0);
    range.zero_point = static_cast<std::int32_t>(zero_point);
    if (!std::isnormal(range.scale) || range.scale < 0 || zero_point < -128 || zero_point > 127) {
      return Broken("a scale that is no positive number");
    }
    return absl::OkStatus();
  }

  template <typename T>
  absl::StatusOr<std::vector<T>> Content(std::uint32_t buffer) const {
    if (model_.buffers() == nullptr || buffer >= model_.buffers()->size() ||
        model_.buffers()->Get(buffer)->data() == nullptr) {
      return Broken("a buffer that is missing");
    }
    const auto* data = model_.buffers()->Get(buffer)->data();
    std::vector<T> values(data->size() / sizeof(T));
    std::memcpy(values.data(), data->data(), values.size() * sizeof(T));
    return values;
  }

  const tflite::Model& model_;
};

// What is left of an impulse without what training finds out.
std::string Question(Impulse impulse) {
  impulse.clear_standardisation();
  impulse.clear_reference();
  impulse.clear_calibration();
  impulse.clear_self_test();
  impulse.clear_uncertain_below();
  impulse.clear_anomaly();
  impulse.mutable_window()->clear_stride();  // Which no feature depends on.
  return impulse.SerializeAsString();
}

}  // namespace

absl::StatusOr<ParentModel> ReadParentModel(absl::string_view file, const Network& description,
                                            const Impulse& impulse) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(file.data());
  flatbuffers::Verifier verifier(bytes, file.size());
  if (!tflite::VerifyModelBuffer(verifier)) {
    return Broken("no .tflite file");
  }
  const ModelReader reader(*tflite::GetModel(bytes));
  FIELDLOOP_ASSIGN_OR_RETURN(const Impulse own, reader.ReadImpulse());
  if (Question(own) != Question(impulse)) {
    return Refuse("another window, other blocks or other classes", "those of the recipe");
  }
  ParentModel parent;
  FIELDLOOP_ASSIGN_OR_RETURN(parent.network, reader.ReadNetwork(description));
  parent.standardisation = FromProto(own.standardisation());
  const std::size_t inputs = description.layers.front().form.input.size();
  if (parent.standardisation.mean.size() != inputs ||
      parent.standardisation.inverse_deviation.size() != inputs) {
    return Broken("no standardisation");
  }
  return parent;
}

}  // namespace fieldloop::build::trainer
