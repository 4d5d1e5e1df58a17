// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/dense_training.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "services/build/trainer/random.h"

namespace fieldloop::build::trainer {
namespace {

struct Layer {
  torch::Tensor weights;  // outputs x inputs.
  torch::Tensor bias;
};

template <typename T>
torch::Tensor ToTensor(const std::vector<T>& values, std::vector<std::int64_t> shape,
                       torch::ScalarType type) {
  torch::Tensor tensor = torch::empty(shape, torch::TensorOptions().dtype(type));
  if (!values.empty()) {
    std::memcpy(tensor.data_ptr(), values.data(), values.size() * sizeof(T));
  }
  return tensor;
}

std::vector<float> ToVector(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.detach().contiguous();
  const float* values = flat.data_ptr<float>();
  return {values, values + flat.numel()};
}

// Weights after He et al. 2015, for RELU; biases 0.
std::vector<Layer> MakeLayers(std::size_t inputs, const std::vector<int>& hidden,
                              std::size_t classes, Random& random) {
  std::vector<std::size_t> sizes = {inputs};
  for (const int units : hidden) {
    sizes.push_back(static_cast<std::size_t>(units));
  }
  sizes.push_back(classes);
  std::vector<Layer> layers;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const double deviation = std::sqrt(2.0 / static_cast<double>(sizes[i]));
    std::vector<float> weights(sizes[i] * sizes[i + 1]);
    std::generate(weights.begin(), weights.end(),
                  [&] { return static_cast<float>(deviation * random.Normal()); });
    const auto rows = static_cast<std::int64_t>(sizes[i + 1]);
    const auto columns = static_cast<std::int64_t>(sizes[i]);
    layers.push_back({ToTensor(weights, {rows, columns}, torch::kFloat32).requires_grad_(),
                      torch::zeros({rows}, torch::kFloat32).requires_grad_()});
  }
  return layers;
}

torch::Tensor Logits(const std::vector<Layer>& layers, torch::Tensor x, double dropout) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    x = torch::linear(x, layers[i].weights, layers[i].bias);
    if (i + 1 < layers.size()) {
      x = torch::relu(x);
      if (dropout > 0) {
        x = torch::dropout(x, dropout, /*train=*/true);
      }
    }
  }
  return x;
}

torch::optim::AdamW MakeOptimizer(const std::vector<Layer>& layers,
                                  const DenseTrainingOptions& options) {
  std::vector<torch::Tensor> weights;
  std::vector<torch::Tensor> biases;
  for (const Layer& layer : layers) {
    weights.push_back(layer.weights);
    biases.push_back(layer.bias);
  }
  const auto with_decay = [&](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(options.learning_rate).weight_decay(decay));
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(std::move(weights), with_decay(options.weight_decay));
  groups.emplace_back(std::move(biases), with_decay(0));
  return torch::optim::AdamW(std::move(groups), torch::optim::AdamWOptions(options.learning_rate));
}

absl::StatusOr<DenseNetwork> Train(const DenseTrainingSet& set, const DenseTrainingOptions& options,
                                   const std::function<void(const EpochResult&)>& on_epoch) {
  // More threads would add up in another order, and give other bits.
  at::set_num_threads(1);
  Random random(options.seed, options.stream);
  torch::manual_seed(random.Bits());  // For dropout.

  const auto count = static_cast<std::int64_t>(set.features.rows);
  const torch::Tensor features =
      ToTensor(set.features.values, {count, static_cast<std::int64_t>(set.features.columns)},
               torch::kFloat32);
  const torch::Tensor labels = ToTensor(
      std::vector<std::int64_t>(set.labels.begin(), set.labels.end()), {count}, torch::kInt64);
  const torch::Tensor weights = ToTensor(set.weights, {count}, torch::kFloat32);

  std::vector<Layer> layers =
      MakeLayers(set.features.columns, options.hidden_units, set.classes, random);
  torch::optim::AdamW optimizer = MakeOptimizer(layers, options);
  const std::int64_t batch = std::min<std::int64_t>(options.batch_size, count);
  const double steps =
      static_cast<double>(options.epochs) * static_cast<double>((count + batch - 1) / batch);
  double step = 0;
  std::vector<std::int64_t> order(set.features.rows);
  std::iota(order.begin(), order.end(), 0);

  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    random.Shuffle(order);
    const torch::Tensor index = ToTensor(order, {count}, torch::kInt64);
    const torch::Tensor epoch_features = features.index_select(0, index);
    const torch::Tensor epoch_labels = labels.index_select(0, index);
    const torch::Tensor epoch_weights = weights.index_select(0, index);
    double loss_sum = 0;
    torch::Tensor correct = torch::zeros({}, torch::kInt64);
    for (std::int64_t first = 0; first < count; first += batch) {
      const std::int64_t size = std::min(batch, count - first);
      const torch::Tensor y = epoch_labels.narrow(0, first, size);
      const double rate =
          options.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * ++step / steps));
      for (torch::optim::OptimizerParamGroup& group : optimizer.param_groups()) {
        group.options().set_lr(rate);
      }
      const torch::Tensor logits =
          Logits(layers, epoch_features.narrow(0, first, size), options.dropout);
      const torch::Tensor loss =
          (torch::nll_loss(torch::log_softmax(logits, 1), y, {}, torch::Reduction::None) *
           epoch_weights.narrow(0, first, size))
              .mean();
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      loss_sum += loss.item<double>() * static_cast<double>(size);
      correct += logits.detach().argmax(1).eq(y).sum();
    }
    const EpochResult result{
        .epoch = epoch,
        .loss = loss_sum / static_cast<double>(count),
        .accuracy = static_cast<double>(correct.item<std::int64_t>()) / static_cast<double>(count)};
    if (!std::isfinite(result.loss)) {
      return absl::InvalidArgumentError(
          absl::StrCat("train_input.json: learning.learning_rate: got ", options.learning_rate,
                       ", with which training diverges in epoch ", epoch, ", want less"));
    }
    on_epoch(result);
  }

  DenseNetwork network;
  for (const Layer& layer : layers) {
    network.layers.push_back({.inputs = static_cast<std::size_t>(layer.weights.size(1)),
                              .outputs = static_cast<std::size_t>(layer.weights.size(0)),
                              .weights = ToVector(layer.weights),
                              .bias = ToVector(layer.bias)});
  }
  return network;
}

}  // namespace

absl::StatusOr<DenseNetwork> TrainDenseNetwork(
    const DenseTrainingSet& set, const DenseTrainingOptions& options,
    const std::function<void(const EpochResult&)>& on_epoch) {
  try {
    return Train(set, options, on_epoch);
  } catch (const std::exception& error) {  // libtorch throws; nothing above here does.
    return absl::InternalError(absl::StrCat("libtorch: ", error.what()));
  }
}

}  // namespace fieldloop::build::trainer
