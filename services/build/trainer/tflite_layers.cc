// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/tflite_layers.h"

namespace fieldloop::build::trainer {

tflite::BuiltinOperator OperatorOf(LayerKind kind) {
  switch (kind) {
    case LayerKind::kConvolution:
      return tflite::BuiltinOperator_CONV_2D;
    case LayerKind::kDepthwise:
      return tflite::BuiltinOperator_DEPTHWISE_CONV_2D;
    case LayerKind::kMaxPool:
      return tflite::BuiltinOperator_MAX_POOL_2D;
    case LayerKind::kAveragePool:
      return tflite::BuiltinOperator_AVERAGE_POOL_2D;
    default:
      return tflite::BuiltinOperator_FULLY_CONNECTED;
  }
}

std::vector<std::int32_t> Dimensions(std::initializer_list<std::size_t> sizes) {
  std::vector<std::int32_t> dimensions;
  for (const std::size_t size : sizes) {
    dimensions.push_back(static_cast<std::int32_t>(size));
  }
  return dimensions;
}

std::vector<std::int32_t> WeightDimensions(const LayerForm& form) {
  switch (form.kind) {
    case LayerKind::kConvolution:
      return Dimensions(
          {form.output.channels, form.kernel_height, form.kernel_width, form.input.channels});
    case LayerKind::kDepthwise:
      return Dimensions({1, form.kernel_height, form.kernel_width, form.output.channels});
    default:
      return Dimensions({form.output.channels, form.input.size()});
  }
}

}  // namespace fieldloop::build::trainer
