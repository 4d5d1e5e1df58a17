// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/network.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace fieldloop::build::trainer {
namespace {

// Calls `visit(input row offset, kernel position)` for the positions of a sliding window that lie
// inside the image; the offset is that of the first channel.
template <typename Visit>
void ForEachTap(const LayerForm& form, std::size_t y, std::size_t x, const Visit& visit) {
  const std::size_t top = form.is_pool() ? 0
                                         : TotalPadding(form.input.height, form.output.height,
                                                        form.kernel_height, form.stride_height) /
                                               2;
  const std::size_t left = form.is_pool() ? 0
                                          : TotalPadding(form.input.width, form.output.width,
                                                         form.kernel_width, form.stride_width) /
                                                2;
  for (std::size_t ky = 0; ky < form.kernel_height; ++ky) {
    const std::size_t row = y * form.stride_height + ky;
    if (row < top || row - top >= form.input.height) {
      continue;
    }
    for (std::size_t kx = 0; kx < form.kernel_width; ++kx) {
      const std::size_t column = x * form.stride_width + kx;
      if (column < left || column - left >= form.input.width) {
        continue;
      }
      visit(((row - top) * form.input.width + column - left) * form.input.channels,
            ky * form.kernel_width + kx);
    }
  }
}

// out[i] += x * weights[i]; the loop that takes the time.
void AddScaled(const float* weights, float x, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] += x * weights[i];
  }
}

void RunAt(const LayerForm& form, const std::vector<float>& transposed, const float* in,
           std::size_t y, std::size_t x, float* out) {
  const std::size_t inputs = form.input.channels;
  const std::size_t outputs = form.output.channels;
  switch (form.kind) {
    case LayerKind::kDense:
      for (std::size_t i = 0; i < form.input.size(); ++i) {
        AddScaled(transposed.data() + i * outputs, in[i], outputs, out);
      }
      break;
    case LayerKind::kConvolution:
      ForEachTap(form, y, x, [&](std::size_t offset, std::size_t position) {
        for (std::size_t i = 0; i < inputs; ++i) {
          AddScaled(transposed.data() + (position * inputs + i) * outputs, in[offset + i], outputs,
                    out);
        }
      });
      break;
    case LayerKind::kDepthwise:
      ForEachTap(form, y, x, [&](std::size_t offset, std::size_t position) {
        const float* weights = transposed.data() + position * outputs;
        for (std::size_t i = 0; i < outputs; ++i) {
          out[i] += in[offset + i] * weights[i];
        }
      });
      break;
    case LayerKind::kMaxPool:
      std::fill(out, out + outputs, std::numeric_limits<float>::lowest());
      ForEachTap(form, y, x, [&](std::size_t offset, std::size_t) {
        for (std::size_t i = 0; i < outputs; ++i) {
          out[i] = std::max(out[i], in[offset + i]);
        }
      });
      break;
    case LayerKind::kAveragePool: {
      ForEachTap(form, y, x,
                 [&](std::size_t offset, std::size_t) { AddScaled(in + offset, 1, outputs, out); });
      const auto count = static_cast<float>(form.kernel_height * form.kernel_width);
      std::transform(out, out + outputs, out, [count](float sum) { return sum / count; });
      break;
    }
  }
}

}  // namespace

std::size_t LayerForm::weights_per_channel() const {
  switch (kind) {
    case LayerKind::kDense:
      return input.size();
    case LayerKind::kConvolution:
      return kernel_height * kernel_width * input.channels;
    case LayerKind::kDepthwise:
      return kernel_height * kernel_width;
    default:
      return 0;
  }
}

std::size_t LayerForm::weight_count() const { return weights_per_channel() * output.channels; }

std::size_t Network::parameter_count() const {
  std::size_t count = 0;
  for (const Layer& layer : layers) {
    count += layer.form.weight_count() + layer.form.bias_count();
  }
  return count;
}

std::size_t WeightIndex(const LayerForm& form, std::size_t channel, std::size_t index) {
  return form.kind == LayerKind::kDepthwise ? index * form.output.channels + channel
                                            : channel * form.weights_per_channel() + index;
}

std::size_t TotalPadding(std::size_t input, std::size_t output, std::size_t kernel,
                         std::size_t stride) {
  const std::size_t reach = (output - 1) * stride + kernel;
  return reach > input ? reach - input : 0;
}

NetworkRunner::NetworkRunner(const Network& network) : network_(network) {
  for (const Layer& layer : network.layers) {
    const std::size_t count = layer.form.weights_per_channel();
    const std::size_t channels = layer.form.output.channels;
    std::vector<float> transposed(layer.form.weight_count());
    for (std::size_t channel = 0; channel < channels; ++channel) {
      for (std::size_t i = 0; i < count; ++i) {
        transposed[i * channels + channel] = layer.weights[WeightIndex(layer.form, channel, i)];
      }
    }
    transposed_.push_back(std::move(transposed));
    activations_.emplace_back(layer.form.output.size());
  }
}

const std::vector<std::vector<float>>& NetworkRunner::Run(const float* features) {
  const float* in = features;
  for (std::size_t i = 0; i < network_.layers.size(); ++i) {
    const Layer& layer = network_.layers[i];
    const LayerForm& form = layer.form;
    const std::size_t channels = form.output.channels;
    float* out = activations_[i].data();
    for (std::size_t y = 0; y < form.output.height; ++y) {
      for (std::size_t x = 0; x < form.output.width; ++x, out += channels) {
        if (form.is_pool()) {
          std::fill(out, out + channels, 0.0F);
        } else {
          std::copy(layer.bias.begin(), layer.bias.end(), out);
        }
        RunAt(form, transposed_[i], in, y, x, out);
      }
    }
    if (form.relu) {
      for (float& value : activations_[i]) {
        value = std::max(value, 0.0F);
      }
    }
    in = activations_[i].data();
  }
  return activations_;
}

}  // namespace fieldloop::build::trainer
