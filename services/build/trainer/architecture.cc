// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/architecture.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build::trainer {
namespace {

using fieldloop::agent::v1::DspBlock;
using fieldloop::agent::v1::Impulse;

constexpr std::size_t kLeastSteps = 4;  // Which a default network leaves to average.

absl::Status Refuse(absl::string_view field, absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat("train_input.json: learning.", field, ": got ", got, ", want ", want));
}

std::size_t DividedUp(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// Puts layers one behind the other.
class Stack {
 public:
  explicit Stack(Shape shape) : shape_(shape) {}

  void AddSliding(LayerKind kind, std::size_t channels, std::size_t kernel_height,
                  std::size_t kernel_width, std::size_t stride_height, std::size_t stride_width) {
    Add({.kind = kind,
         .input = shape_,
         .output = {.height = DividedUp(shape_.height, stride_height),
                    .width = DividedUp(shape_.width, stride_width),
                    .channels = channels},
         .kernel_height = kernel_height,
         .kernel_width = kernel_width,
         .stride_height = stride_height,
         .stride_width = stride_width,
         .relu = true});
  }

  void AddPool(LayerKind kind, std::size_t height, std::size_t width) {
    Add({.kind = kind,
         .input = shape_,
         .output = {.height = shape_.height / height,
                    .width = shape_.width / width,
                    .channels = shape_.channels},
         .kernel_height = height,
         .kernel_width = width,
         .stride_height = height,
         .stride_width = width});
  }

  void AddDense(std::size_t units, bool relu) {
    Add({.kind = LayerKind::kDense, .input = shape_, .output = {.channels = units}, .relu = relu});
  }

  const Shape& shape() const { return shape_; }
  Network Take() { return std::move(network_); }

 private:
  void Add(const LayerForm& form) {
    network_.layers.push_back({.form = form, .weights = {}, .bias = {}});
    shape_ = form.output;
  }

  Shape shape_;
  Network network_;
};

absl::Status AddBlocks(const NetworkOptions& options, Stack& stack) {
  const bool image = options.kind == NetworkKind::kConv2d;
  for (std::size_t i = 0; i < options.conv_blocks.size(); ++i) {
    const ConvBlock& block = options.conv_blocks[i];
    const auto filters = static_cast<std::size_t>(block.filters);
    const auto kernel = static_cast<std::size_t>(block.kernel);
    const auto stride = static_cast<std::size_t>(block.stride);
    const auto pool = static_cast<std::size_t>(block.pool);
    if (!image) {
      stack.AddSliding(LayerKind::kConvolution, filters, 1, kernel, 1, stride);
    } else if (i == 0) {
      stack.AddSliding(LayerKind::kConvolution, filters, kernel, kernel, stride, stride);
    } else {
      stack.AddSliding(LayerKind::kDepthwise, stack.shape().channels, kernel, kernel, stride,
                       stride);
      stack.AddSliding(LayerKind::kConvolution, filters, 1, 1, 1, 1);
    }
    const std::size_t steps = image ? stack.shape().height : stack.shape().width;
    if (pool > steps) {
      return Refuse(absl::StrCat("conv_blocks[", i, "].pool"), absl::StrCat(pool),
                    absl::StrCat("at most ", steps, ", the steps that are left"));
    }
    if (pool > 1) {
      stack.AddPool(LayerKind::kMaxPool, image ? pool : 1, image ? 1 : pool);
    }
  }
  if (stack.shape().height * stack.shape().width > 1) {
    stack.AddPool(LayerKind::kAveragePool, stack.shape().height, stack.shape().width);
  }
  return absl::OkStatus();
}

// Blocks of these filters; each halves the steps by its stride as long as enough are left, but a
// first one along the steps, which would skip readings or frames.
NetworkOptions Convolutions(NetworkKind kind, const std::vector<int>& filters, int kernel,
                            const FeatureShape& shape) {
  NetworkOptions options{.kind = kind, .conv_blocks = {}, .dense_units = {}};
  std::size_t steps = shape.steps;
  for (const int count : filters) {
    const bool first = options.conv_blocks.empty();
    const bool halve = steps >= 2 * kLeastSteps && !(first && kind == NetworkKind::kConv1d);
    options.conv_blocks.push_back(
        {.filters = count, .kernel = kernel, .stride = halve ? 2 : 1, .pool = 1});
    steps = halve ? DividedUp(steps, 2) : steps;
  }
  return options;
}

}  // namespace

absl::StatusOr<FeatureShape> ShapeOfFeatures(const Impulse& impulse, std::size_t feature_count,
                                             NetworkKind kind) {
  if (kind == NetworkKind::kDense) {
    return FeatureShape{.steps = 1, .width = feature_count};
  }
  constexpr char kWant[] =
      "one raw, mfe or mfcc block, whose features are steps x channels, or the network dense";
  if (impulse.blocks_size() != 1) {
    return Refuse("network", absl::StrCat("convolutions over ", impulse.blocks_size(), " blocks"),
                  kWant);
  }
  const DspBlock& block = impulse.blocks(0);
  const auto axes =
      static_cast<std::size_t>(impulse.window().axes_size() + impulse.magnitudes_size());
  std::size_t width = 0;
  if (block.has_raw()) {
    width = axes;
  } else if (!block.has_mfe() && !block.has_mfcc()) {
    return Refuse("network", "convolutions over features without an order in time", kWant);
  } else if (axes != 1) {
    return Refuse("network",
                  absl::StrCat("convolutions over an mfe or mfcc block of ", axes, " axes"),
                  "one axis");
  } else {
    width = block.has_mfe() ? block.mfe().filter_count() : block.mfcc().coefficient_count();
  }
  return FeatureShape{.steps = feature_count / width, .width = width};
}

absl::StatusOr<Network> DescribeNetwork(const NetworkOptions& options, const FeatureShape& shape,
                                        std::size_t classes) {
  Stack stack(options.kind == NetworkKind::kConv2d
                  ? Shape{.height = shape.steps, .width = shape.width, .channels = 1}
                  : Shape{.height = 1, .width = shape.steps, .channels = shape.width});
  if (options.kind != NetworkKind::kDense) {
    FIELDLOOP_RETURN_IF_ERROR(AddBlocks(options, stack));
  }
  for (const int units : options.dense_units) {
    stack.AddDense(static_cast<std::size_t>(units), /*relu=*/true);
  }
  stack.AddDense(classes, /*relu=*/false);
  return stack.Take();
}

std::string NetworkName(const NetworkOptions& options) {
  std::string name(options.kind == NetworkKind::kDense    ? "dense"
                   : options.kind == NetworkKind::kConv1d ? "conv_1d"
                                                          : "conv_2d");
  for (const ConvBlock& block : options.conv_blocks) {
    absl::StrAppend(&name, " ", block.filters, "/", block.kernel,
                    block.stride > 1 ? absl::StrCat("s", block.stride) : "",
                    block.pool > 1 ? absl::StrCat("p", block.pool) : "");
  }
  if (options.kind != NetworkKind::kDense && !options.dense_units.empty()) {
    absl::StrAppend(&name, ", dense");
  }
  for (const int units : options.dense_units) {
    absl::StrAppend(&name, " ", units);
  }
  return name;
}

NetworkOptions CompleteNetwork(NetworkOptions options, const FeatureShape& shape) {
  if (options.kind == NetworkKind::kDense) {
    if (options.dense_units.empty()) {
      options.dense_units = {32, 16};
    }
  } else if (options.conv_blocks.empty()) {
    options.conv_blocks = Convolutions(options.kind, {16, 24, 32}, 3, shape).conv_blocks;
  }
  return options;
}

std::vector<NetworkOptions> CandidateNetworks(NetworkKind kind, const FeatureShape& shape) {
  std::vector<NetworkOptions> candidates;
  if (kind == NetworkKind::kDense) {
    const std::vector<std::vector<int>> layers = {
        {8}, {16}, {20, 10}, {32}, {32, 16}, {64}, {64, 32}, {96, 48}, {128, 64}, {128, 64, 32}};
    for (const std::vector<int>& units : layers) {
      candidates.push_back({.kind = kind, .conv_blocks = {}, .dense_units = units});
    }
    return candidates;
  }
  const std::vector<std::vector<int>> filters = {
      {8, 8},       {8, 16},      {12, 16, 24},     {16, 24, 32}, {24, 32, 48},
      {32, 48, 48}, {32, 48, 64}, {32, 48, 64, 64}, {48, 64, 96}, {64, 96, 96, 128}};
  for (const std::vector<int>& counts : filters) {
    candidates.push_back(Convolutions(kind, counts, 3, shape));
  }
  return candidates;
}

}  // namespace fieldloop::build::trainer
