// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/training.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/build/trainer/random.h"

namespace fieldloop::build::trainer {
namespace {

using torch::Tensor;

constexpr double kNormalisationMomentum = 0.1;
constexpr double kNormalisationEpsilon = 1e-5;
constexpr std::int64_t kValidationBatch = 256;
constexpr double kFineTuningRate = 0.3;  // Of the learning rate, with a parent.
// What each step pulls weights back towards the parent's, of the largest step away from them: those
// that the data does not push in one direction stay what they are.
constexpr double kPullToParent = 0.2;

template <typename T>
Tensor ToTensor(const std::vector<T>& values, const std::vector<std::int64_t>& shape,
                torch::ScalarType type) {
  Tensor tensor = torch::empty(shape, torch::TensorOptions().dtype(type));
  if (!values.empty()) {
    std::memcpy(tensor.data_ptr(), values.data(), values.size() * sizeof(T));
  }
  return tensor;
}

std::vector<float> ToVector(const Tensor& tensor) {
  const Tensor flat = tensor.detach().contiguous();
  const float* values = flat.data_ptr<float>();
  return {values, values + flat.numel()};
}

std::int64_t Signed(std::size_t value) { return static_cast<std::int64_t>(value); }

// A layer as libtorch has it: images are batch x channels x height x width.
struct TorchLayer {
  LayerForm form;
  Tensor weights;  // Dense: outputs x inputs; otherwise outputs x inputs of its group x height x
                   // width.
  Tensor bias;     // Undefined where normalisation has one.
  // Normalisation by batch; undefined without.
  Tensor gamma;
  Tensor beta;
  Tensor mean;
  Tensor variance;
  // With a parent: its weights, the largest magnitudes of weights, and the largest output.
  Tensor start;
  Tensor limit;
  double largest_output = std::numeric_limits<double>::infinity();

  bool normalised() const { return gamma.defined(); }
};

// Between the order of Layer::weights and that of TorchLayer::weights. For convolutions the former
// is outputs x height x width x inputs, for depthwise ones height x width x outputs.
Tensor ToTorch(const LayerForm& form, const std::vector<float>& weights) {
  const std::int64_t outputs = Signed(form.output.channels);
  const std::int64_t height = Signed(form.kernel_height);
  const std::int64_t width = Signed(form.kernel_width);
  switch (form.kind) {
    case LayerKind::kConvolution:
      return ToTensor(weights, {outputs, height, width, Signed(form.input.channels)},
                      torch::kFloat32)
          .permute({0, 3, 1, 2})
          .contiguous();
    case LayerKind::kDepthwise:
      return ToTensor(weights, {height, width, outputs, 1}, torch::kFloat32)
          .permute({2, 3, 0, 1})
          .contiguous();
    default:
      return ToTensor(weights, {outputs, Signed(form.input.size())}, torch::kFloat32);
  }
}

std::vector<float> FromTorch(const LayerForm& form, const Tensor& weights) {
  switch (form.kind) {
    case LayerKind::kConvolution:
      return ToVector(weights.permute({0, 2, 3, 1}));
    case LayerKind::kDepthwise:
      return ToVector(weights.permute({2, 3, 0, 1}));
    default:
      return ToVector(weights);
  }
}

// One value for each output channel, in the shape that multiplies the weights.
Tensor PerChannel(const Tensor& values, const Tensor& weights) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(weights.dim()), 1);
  shape[0] = values.numel();
  return values.view(shape);
}

class TorchNetwork {
 public:
  // Weights after He et al. 2015, for RELU; biases 0.
  TorchNetwork(const Network& description, Random& random) {
    for (const Layer& layer : description.layers) {
      const LayerForm& form = layer.form;
      TorchLayer made;
      made.form = form;
      if (!form.is_pool()) {
        const double deviation = std::sqrt(2.0 / static_cast<double>(form.weights_per_channel()));
        std::vector<float> weights(form.weight_count());
        std::generate(weights.begin(), weights.end(),
                      [&] { return static_cast<float>(deviation * random.Normal()); });
        made.weights = ToTorch(form, weights).requires_grad_();
        const std::vector<std::int64_t> channels = {Signed(form.output.channels)};
        if (form.kind == LayerKind::kDense) {
          made.bias = torch::zeros(channels).requires_grad_();
        } else {
          made.gamma = torch::ones(channels).requires_grad_();
          made.beta = torch::zeros(channels).requires_grad_();
          made.mean = torch::zeros(channels);
          made.variance = torch::ones(channels);
        }
      }
      layers_.push_back(std::move(made));
    }
  }

  // The weights of `parent`, whose normalisation is in them already.
  explicit TorchNetwork(const QuantisedNetwork& parent) {
    const Network network = Dequantise(parent);
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      const Layer& layer = network.layers[i];
      TorchLayer made;
      made.form = layer.form;
      if (!layer.form.is_pool()) {
        made.start = ToTorch(layer.form, layer.weights);
        made.weights = made.start.clone().requires_grad_();
        made.bias =
            ToTensor(layer.bias, {Signed(layer.bias.size())}, torch::kFloat32).requires_grad_();
        std::vector<float> largest;
        for (std::size_t channel = 0; channel < layer.form.output.channels; ++channel) {
          largest.push_back(127 * parent.layers[i].weight_scale(channel));
        }
        made.limit =
            PerChannel(ToTensor(largest, {Signed(largest.size())}, torch::kFloat32), made.weights);
        if (layer.form.relu) {
          made.largest_output = static_cast<double>(parent.layers[i].output.high());
        }
      }
      layers_.push_back(std::move(made));
    }
  }

  // Rows of features as the first layer takes them.
  Tensor ToInput(const FeatureTable& features) const {
    const Shape& shape = layers_.front().form.input;
    const Tensor rows = ToTensor(features.values, {Signed(features.rows), Signed(features.columns)},
                                 torch::kFloat32);
    if (layers_.front().form.kind == LayerKind::kDense) {
      return rows;
    }
    return rows
        .view({Signed(features.rows), Signed(shape.height), Signed(shape.width),
               Signed(shape.channels)})
        .permute({0, 3, 1, 2})
        .contiguous();
  }

  // `generator` decides what dropout leaves out.
  Tensor Logits(Tensor x, bool training, double dropout, at::Generator& generator) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      TorchLayer& layer = layers_[i];
      if (layer.form.kind == LayerKind::kDense) {
        x = x.flatten(1);
        if (training && dropout > 0 && i > 0) {
          const Tensor kept = torch::empty_like(x).bernoulli_(1 - dropout, generator);
          x = x * kept / (1 - dropout);
        }
      }
      x = Apply(layer, x, training);
    }
    return x;
  }

  std::vector<Tensor> Weights() const { return Collect({&TorchLayer::weights}); }
  std::vector<Tensor> Others() const {
    return Collect({&TorchLayer::bias, &TorchLayer::gamma, &TorchLayer::beta});
  }
  // Everything that training changes.
  std::vector<Tensor> State() const {
    return Collect({&TorchLayer::weights, &TorchLayer::bias, &TorchLayer::gamma, &TorchLayer::beta,
                    &TorchLayer::mean, &TorchLayer::variance});
  }

  // Moves the weights by up to `pull` back to the parent's, and into their limits.
  void StayNearParent(double pull) {
    const torch::NoGradGuard no_gradients;
    for (TorchLayer& layer : layers_) {
      if (layer.start.defined()) {
        const Tensor moved = layer.start + torch::softshrink(layer.weights - layer.start, pull);
        layer.weights.copy_(torch::minimum(torch::maximum(moved, -layer.limit), layer.limit));
      }
    }
  }

  // With the normalisation folded into weights and biases:
  // w' = w * gamma / sqrt(variance + epsilon), b' = beta - mean * gamma / sqrt(variance + epsilon).
  Network Fold() const {
    Network network;
    for (const TorchLayer& layer : layers_) {
      Layer folded{.form = layer.form, .weights = {}, .bias = {}};
      if (layer.normalised()) {
        const Tensor factor = layer.gamma / torch::sqrt(layer.variance + kNormalisationEpsilon);
        folded.weights = FromTorch(layer.form, layer.weights * PerChannel(factor, layer.weights));
        folded.bias = ToVector(layer.beta - layer.mean * factor);
      } else if (!layer.form.is_pool()) {
        folded.weights = FromTorch(layer.form, layer.weights);
        folded.bias = ToVector(layer.bias);
      }
      network.layers.push_back(std::move(folded));
    }
    return network;
  }

 private:
  static Tensor Convolve(const TorchLayer& layer, Tensor x) {
    const LayerForm& form = layer.form;
    const std::int64_t rows = Signed(TotalPadding(form.input.height, form.output.height,
                                                  form.kernel_height, form.stride_height));
    const std::int64_t columns = Signed(
        TotalPadding(form.input.width, form.output.width, form.kernel_width, form.stride_width));
    std::vector<std::int64_t> padding = {rows / 2, columns / 2};
    if (rows % 2 != 0 || columns % 2 != 0) {
      x = torch::constant_pad_nd(x, {columns / 2, columns - columns / 2, rows / 2, rows - rows / 2},
                                 0);
      padding = {0, 0};
    }
    const std::int64_t groups =
        form.kind == LayerKind::kDepthwise ? Signed(form.output.channels) : 1;
    return torch::conv2d(x, layer.weights, layer.bias,
                         {Signed(form.stride_height), Signed(form.stride_width)}, padding, {1, 1},
                         groups);
  }

  static Tensor Apply(TorchLayer& layer, Tensor x, bool training) {
    const std::vector<std::int64_t> kernel = {Signed(layer.form.kernel_height),
                                              Signed(layer.form.kernel_width)};
    switch (layer.form.kind) {
      case LayerKind::kDense:
        x = torch::linear(x, layer.weights, layer.bias);
        break;
      case LayerKind::kConvolution:
      case LayerKind::kDepthwise:
        x = Convolve(layer, std::move(x));
        break;
      case LayerKind::kMaxPool:
        return torch::max_pool2d(x, kernel);
      case LayerKind::kAveragePool:
        return torch::avg_pool2d(x, kernel);
    }
    if (layer.normalised()) {
      x = torch::batch_norm(x, layer.gamma, layer.beta, layer.mean, layer.variance, training,
                            kNormalisationMomentum, kNormalisationEpsilon, /*cudnn_enabled=*/false);
    }
    if (layer.form.relu) {
      x = std::isfinite(layer.largest_output) ? torch::clamp(x, 0, layer.largest_output)
                                              : torch::relu(x);
    }
    return x;
  }

  std::vector<Tensor> Collect(std::initializer_list<Tensor TorchLayer::*> members) const {
    std::vector<Tensor> tensors;
    for (const TorchLayer& layer : layers_) {
      for (Tensor TorchLayer::*member : members) {
        if ((layer.*member).defined()) {
          tensors.push_back(layer.*member);
        }
      }
    }
    return tensors;
  }

  std::vector<TorchLayer> layers_;
};

// Rows as tensors.
struct Rows {
  Tensor input;
  Tensor labels;
  Tensor weights;

  std::int64_t count() const { return labels.numel(); }
  Rows At(const Tensor& index) const {
    return {input.index_select(0, index), labels.index_select(0, index),
            weights.index_select(0, index)};
  }
  Rows Slice(std::int64_t first, std::int64_t size) const {
    return {input.narrow(0, first, size), labels.narrow(0, first, size),
            weights.narrow(0, first, size)};
  }
};

Rows ToRows(const TorchNetwork& network, const TrainingSet& set) {
  const auto count = static_cast<std::int64_t>(set.features.rows);
  return {network.ToInput(set.features),
          ToTensor(std::vector<std::int64_t>(set.labels.begin(), set.labels.end()), {count},
                   torch::kInt64),
          ToTensor(set.weights, {count}, torch::kFloat32)};
}

Tensor Loss(const Tensor& logits, const Rows& rows) {
  return (torch::nll_loss(torch::log_softmax(logits, 1), rows.labels, {}, torch::Reduction::None) *
          rows.weights)
      .mean();
}

std::int64_t CountRight(const Tensor& logits, const Rows& rows) {
  return logits.detach().argmax(1).eq(rows.labels).sum().item<std::int64_t>();
}

torch::optim::AdamW MakeOptimizer(const TorchNetwork& network, double learning_rate,
                                  double weight_decay) {
  const auto with_decay = [&](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(learning_rate).weight_decay(decay));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(network.Weights(), with_decay(weight_decay));
  groups.emplace_back(network.Others(), with_decay(0));
  return torch::optim::AdamW(std::move(groups), torch::optim::AdamWOptions(learning_rate));
}

void Validate(TorchNetwork& network, const Rows& rows, at::Generator& generator,
              EpochResult& result) {
  const torch::NoGradGuard no_gradients;
  double loss = 0;
  std::int64_t right = 0;
  for (std::int64_t first = 0; first < rows.count(); first += kValidationBatch) {
    const Rows batch = rows.Slice(first, std::min(kValidationBatch, rows.count() - first));
    const Tensor logits = network.Logits(batch.input, /*training=*/false, 0, generator);
    loss += Loss(logits, batch).item<double>() * static_cast<double>(batch.count());
    right += CountRight(logits, batch);
  }
  result.validation_loss = loss / static_cast<double>(rows.count());
  result.validation_accuracy = static_cast<double>(right) / static_cast<double>(rows.count());
}

// Keeps what the network was when its validation loss was least.
class BestState {
 public:
  explicit BestState(const TorchNetwork& network) : state_(network.State()) {}

  void Consider(const EpochResult& result) {
    if (*result.validation_loss < loss_) {
      loss_ = *result.validation_loss;
      epoch_ = result.epoch;
      copies_.clear();
      for (const Tensor& tensor : state_) {
        copies_.push_back(tensor.detach().clone());
      }
    }
  }
  int epoch() const { return epoch_; }
  void Restore() {
    const torch::NoGradGuard no_gradients;
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      state_[i].copy_(copies_[i]);
    }
  }

 private:
  std::vector<Tensor> state_;
  std::vector<Tensor> copies_;
  double loss_ = std::numeric_limits<double>::infinity();
  int epoch_ = 0;
};

absl::StatusOr<Network> Train(const Network& description, const TrainingSet& training,
                              const TrainingSet& validation, const TrainingOptions& options,
                              const std::function<void(const EpochResult&)>& on_epoch) {
  // More threads would add up in another order, and give other bits.
  at::set_num_threads(1);
  Random random(options.seed, options.stream);
  at::Generator generator = at::detail::createCPUGenerator(random.Bits());  // For dropout.
  TorchNetwork network =
      options.parent == nullptr ? TorchNetwork(description, random) : TorchNetwork(*options.parent);
  const double learning_rate =
      options.learning_rate * (options.parent == nullptr ? 1 : kFineTuningRate);
  torch::optim::AdamW optimizer =
      MakeOptimizer(network, learning_rate, options.parent == nullptr ? options.weight_decay : 0);

  const Rows rows = ToRows(network, training);
  const Rows validation_rows = ToRows(network, validation);
  const std::int64_t count = rows.count();
  const std::int64_t batch = std::min<std::int64_t>(options.batch_size, count);
  const double steps =
      static_cast<double>(options.epochs) * static_cast<double>((count + batch - 1) / batch);
  double step = 0;
  std::vector<std::int64_t> order(training.features.rows);
  std::iota(order.begin(), order.end(), 0);
  BestState best(network);

  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    random.Shuffle(order);
    const Rows shuffled = rows.At(ToTensor(order, {count}, torch::kInt64));
    double loss_sum = 0;
    std::int64_t right = 0;
    for (std::int64_t first = 0, size = 0; first < count; first += size) {
      // A last batch of one row would have no deviation to be normalised by.
      size = count - first == batch + 1 ? batch + 1 : std::min(batch, count - first);
      const Rows part = shuffled.Slice(first, size);
      const double rate = learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * ++step / steps));
      for (torch::optim::OptimizerParamGroup& group : optimizer.param_groups()) {
        group.options().set_lr(rate);
      }
      const Tensor logits =
          network.Logits(part.input, /*training=*/true, options.dropout, generator);
      const Tensor loss = Loss(logits, part);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      network.StayNearParent(rate * kPullToParent);
      loss_sum += loss.item<double>() * static_cast<double>(part.count());
      right += CountRight(logits, part);
    }
    EpochResult result{.epoch = epoch,
                       .loss = loss_sum / static_cast<double>(count),
                       .accuracy = static_cast<double>(right) / static_cast<double>(count),
                       .validation_loss = {},
                       .validation_accuracy = {}};
    if (!std::isfinite(result.loss)) {
      return absl::InvalidArgumentError(
          absl::StrCat("train_input.json: learning.learning_rate: got ", options.learning_rate,
                       ", with which training diverges in epoch ", epoch, ", want less"));
    }
    if (validation_rows.count() > 0) {
      Validate(network, validation_rows, generator, result);
      best.Consider(result);
    }
    on_epoch(result);
    if (options.patience > 0 && best.epoch() > 0 && epoch - best.epoch() >= options.patience) {
      break;
    }
  }
  if (options.patience > 0) {
    best.Restore();
  }
  return network.Fold();
}

}  // namespace

absl::StatusOr<Network> TrainNetwork(const Network& description, const TrainingSet& training,
                                     const TrainingSet& validation, const TrainingOptions& options,
                                     const std::function<void(const EpochResult&)>& on_epoch) {
  try {
    return Train(description, training, validation, options, on_epoch);
  } catch (const std::exception& error) {  // libtorch throws; nothing above here does.
    return absl::InternalError(absl::StrCat("libtorch: ", error.what()));
  }
}

}  // namespace fieldloop::build::trainer
