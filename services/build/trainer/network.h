// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_NETWORK_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fieldloop::build::trainer {

// An image; its values are in the order of the rows, within them of the columns, within them of the
// channels. Plain features are 1 x 1 x n.
struct Shape {
  std::size_t height = 1;
  std::size_t width = 1;
  std::size_t channels = 1;

  std::size_t size() const { return height * width * channels; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

enum class LayerKind : std::uint8_t {
  kDense,        // Every output from every input.
  kConvolution,  // Padded so that only the stride makes the output smaller ("SAME").
  kDepthwise,    // As kConvolution, each channel by itself.
  kMaxPool,      // Windows side by side; what is left over behind the last whole one is dropped.
  kAveragePool,  // As kMaxPool.
};

// What a layer does, without its weights.
struct LayerForm {
  LayerKind kind = LayerKind::kDense;
  Shape input;
  Shape output;
  // Of the sliding window; unused in dense layers. Pools have the stride of their window.
  std::size_t kernel_height = 1;
  std::size_t kernel_width = 1;
  std::size_t stride_height = 1;
  std::size_t stride_width = 1;
  bool relu = false;

  bool is_pool() const { return kind == LayerKind::kMaxPool || kind == LayerKind::kAveragePool; }
  // Weights behind one output channel.
  std::size_t weights_per_channel() const;
  // All weights; 0 for a pool.
  std::size_t weight_count() const;
  // Output channels, each with a bias; 0 for a pool.
  std::size_t bias_count() const { return is_pool() ? 0 : output.channels; }
  friend bool operator==(const LayerForm&, const LayerForm&) = default;
};

// A layer. Its weights are in the order of the .tflite format: dense outputs x inputs; convolution
// outputs x height x width x inputs; depthwise height x width x channels.
struct Layer {
  LayerForm form;
  std::vector<float> weights;
  std::vector<float> bias;
};

// Layers one after the other; the last one is dense and gives logits. Without weights it is a
// description, which training takes.
struct Network {
  std::vector<Layer> layers;

  std::size_t parameter_count() const;
};

// Index into weights of the `index`-th weight of output channel `channel`.
std::size_t WeightIndex(const LayerForm& form, std::size_t channel, std::size_t index);

// Padding before the first row or column of a convolution, as TensorFlow's SAME has it; what is
// left of `TotalPadding` comes behind the last.
std::size_t TotalPadding(std::size_t input, std::size_t output, std::size_t kernel,
                         std::size_t stride);

// Runs a trained network on rows of features. Not for several threads at once.
class NetworkRunner {
 public:
  // `network` outlives it.
  explicit NetworkRunner(const Network& network);

  // Returns the outputs of every layer, after its RELU; the last are logits. Valid until the next
  // call.
  const std::vector<std::vector<float>>& Run(const float* features);

 private:
  const Network& network_;
  // Weights with the output channel last, so that the innermost loop is over neighbours.
  std::vector<std::vector<float>> transposed_;
  std::vector<std::vector<float>> activations_;
};

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_NETWORK_H_
