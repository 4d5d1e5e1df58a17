// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The impulse code beside plain loops that do the least work that must be done, in the same run:
//   Network / PlainNetwork: a dense network 30-32-16-5, and its multiply-adds alone;
//   Features / PlainFeatures: flatten of 50 readings of 6 axes, and its five sums in plain loops;
//   Sound / Transforms: mfe and mfcc of a second at 16 kHz, and the transforms of as many frames.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "agent/impulse/dsp.h"
#include "agent/impulse/float_math.h"
#include "agent/impulse/network.h"
#include "tests/agent/impulse/proto_writer.h"
#include "tests/agent/impulse/tflite_builder.h"

namespace {

using fieldloop::testing::ByteOption;
using fieldloop::testing::FloatOption;
using fieldloop::testing::ImpulseMessage;
using fieldloop::testing::MelParameters;
using fieldloop::testing::MfccBlockMessage;
using fieldloop::testing::MfeBlockMessage;
using fieldloop::testing::ProtoWriter;
using fieldloop::testing::TfliteBuilder;
using fieldloop::testing::WindowMessage;

constexpr int kLayers[] = {30, 32, 16, 5};
constexpr std::size_t kReadings = 50;
constexpr std::size_t kAxes = 6;
constexpr std::uint8_t kFullyConnected = 9;
constexpr std::uint8_t kFullyConnectedOptions = 8;
constexpr std::uint8_t kSoftmax = 25;
constexpr std::uint8_t kSoftmaxOptions = 9;
constexpr double kRelu = 1;

// Weights without any structure that a compiler could use.
std::vector<std::int8_t> Weights(int count) {
  std::vector<std::int8_t> weights;
  std::uint32_t state = 1;
  for (int i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    weights.push_back(static_cast<std::int8_t>(state >> 25U));
  }
  return weights;
}

std::vector<std::uint8_t> Model() {
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, kLayers[0]}, 0.05F, 0);
  auto last = input;
  for (std::size_t i = 0; i + 1 < std::size(kLayers); ++i) {
    const bool hidden = i + 2 < std::size(kLayers);
    const auto weights =
        builder.AddWeights({kLayers[i + 1], kLayers[i]}, Weights(kLayers[i + 1] * kLayers[i]),
                           std::vector<float>(static_cast<std::size_t>(kLayers[i + 1]), 0.01F), 0);
    const auto next = builder.AddActivation({1, kLayers[i + 1]}, 0.1F, hidden ? -128 : 0);
    builder.AddOperator({kFullyConnected,
                         {last, weights, -1},
                         {next},
                         kFullyConnectedOptions,
                         {ByteOption(0, hidden ? static_cast<int>(kRelu) : 0)}});
    last = next;
  }
  const auto output = builder.AddActivation({1, kLayers[3]}, 1.0F / 256, -128);
  builder.AddOperator({kSoftmax, {last}, {output}, kSoftmaxOptions, {FloatOption(0, 1)}});
  return builder.Build(input, output);
}

void Network(benchmark::State& state) {
  const std::vector<std::uint8_t> model = Model();
  std::size_t size = 0;
  fl_network_t network;
  std::vector<std::uint64_t> arena;
  if (fl_network_arena_size(model.data(), model.size(), &size) != FL_OK) {
    std::abort();
  }
  arena.resize((size + 7) / 8);
  if (fl_network_open(&network, model.data(), model.size(), arena.data(), size) != FL_OK) {
    std::abort();
  }
  for (auto _ : state) {
    for (int i = 0; i < kLayers[0]; ++i) {
      network.input[i] = static_cast<std::int8_t>(i * 3 - 40);
    }
    fl_network_run(&network);
    benchmark::DoNotOptimize(network.output[0]);
  }
}
BENCHMARK(Network);

void PlainNetwork(benchmark::State& state) {
  std::vector<std::vector<std::int8_t>> weights;
  for (std::size_t i = 0; i + 1 < std::size(kLayers); ++i) {
    weights.push_back(Weights(kLayers[i + 1] * kLayers[i]));
  }
  std::int8_t values[64] = {};
  std::int8_t next[64] = {};
  for (auto _ : state) {
    for (int i = 0; i < kLayers[0]; ++i) {
      values[i] = static_cast<std::int8_t>(i * 3 - 40);
    }
    benchmark::ClobberMemory();
    for (std::size_t layer = 0; layer < weights.size(); ++layer) {
      for (int out = 0; out < kLayers[layer + 1]; ++out) {
        std::int32_t sum = 0;
        for (int in = 0; in < kLayers[layer]; ++in) {
          sum += values[in] * weights[layer][static_cast<std::size_t>(out * kLayers[layer] + in)];
        }
        next[out] = static_cast<std::int8_t>(sum >> 8);
      }
      for (int out = 0; out < kLayers[layer + 1]; ++out) {
        values[out] = next[out];
      }
    }
    benchmark::DoNotOptimize(values[0]);
  }
}
BENCHMARK(PlainNetwork);

std::vector<float> Window() {
  std::vector<float> window;
  for (std::size_t i = 0; i < kReadings * kAxes; ++i) {
    window.push_back(static_cast<float>(static_cast<int>(i * 37 % 101) - 50) * 0.1F);
  }
  return window;
}

void Features(benchmark::State& state) {
  const ProtoWriter flatten = ProtoWriter().Message(2, ProtoWriter().Varint(2, 1));
  const ProtoWriter impulse = ImpulseMessage(WindowMessage(kReadings, kAxes), {flatten});
  const std::string bytes = impulse.bytes();
  fl_dsp_t dsp;
  if (fl_dsp_open(&dsp, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) !=
      FL_OK) {
    std::abort();
  }
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  std::vector<float> features(dsp.feature_count);
  const std::vector<float> window = Window();
  for (auto _ : state) {
    benchmark::DoNotOptimize(fl_dsp_features(&dsp, window.data(), features.data(),
                                             reinterpret_cast<std::uint8_t*>(scratch.data())));
    benchmark::DoNotOptimize(features[0]);
  }
}
BENCHMARK(Features);

void PlainFeatures(benchmark::State& state) {
  const std::vector<float> window = Window();
  for (auto _ : state) {
    for (std::size_t axis = 0; axis < kAxes; ++axis) {
      float sum = 0;
      float square = 0;
      float least = window[axis];
      float most = window[axis];
      for (std::size_t i = axis; i < window.size(); i += kAxes) {
        sum += window[i];
        square += window[i] * window[i];
        least = std::min(least, window[i]);
        most = std::max(most, window[i]);
      }
      const float mean = sum / kReadings;
      float distances = 0;
      for (std::size_t i = axis; i < window.size(); i += kAxes) {
        distances += (window[i] - mean) * (window[i] - mean);
      }
      const float results[] = {mean, square, least, most, distances};
      benchmark::DoNotOptimize(results[0]);
      benchmark::DoNotOptimize(results[4]);
    }
  }
}
BENCHMARK(PlainFeatures);

constexpr std::uint32_t kSecond = 16000;
constexpr std::uint32_t kTransform = 256;

std::vector<float> Second() {
  std::vector<float> window;
  std::uint32_t state = 1;
  for (std::uint32_t i = 0; i < kSecond; ++i) {
    state = state * 1664525U + 1013904223U;
    window.push_back(static_cast<float>(static_cast<std::int32_t>(state) >> 16));
  }
  return window;
}

// Frames of 20 ms, by which users start.
void Sound(benchmark::State& state, bool cepstrum, std::uint32_t stride) {
  const MelParameters mel{.frame_length = 320,
                          .frame_stride = stride,
                          .fft_length = kTransform,
                          .filter_count = cepstrum ? 32U : 40U,
                          .pre_emphasis = 0.98F,
                          .scale = 1.0F / 32768,
                          .coefficient_count = 13,
                          .normalisation_frames = 101};
  ProtoWriter window;
  window.Varint(1, kSecond).Varint(2, kSecond).Float(3, kSecond).Bytes(4, "audio");
  const std::string bytes =
      ImpulseMessage(window, {cepstrum ? MfccBlockMessage(mel) : MfeBlockMessage(mel)}).bytes();
  fl_dsp_t dsp;
  if (fl_dsp_open(&dsp, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) !=
      FL_OK) {
    std::abort();
  }
  std::vector<std::uint64_t> scratch(dsp.scratch_size / 8 + 1);
  std::vector<float> features(dsp.feature_count);
  const std::vector<float> values = Second();
  for (auto _ : state) {
    benchmark::DoNotOptimize(fl_dsp_features(&dsp, values.data(), features.data(),
                                             reinterpret_cast<std::uint8_t*>(scratch.data())));
    benchmark::DoNotOptimize(features[0]);
  }
}

void Transforms(benchmark::State& state, std::uint32_t frames) {
  const std::vector<float> values = Second();
  std::vector<float> even(kTransform / 2 + 1);
  std::vector<float> odd(kTransform / 2);
  for (auto _ : state) {
    for (std::uint32_t frame = 0; frame < frames; ++frame) {
      const auto first = values.begin() + frame * std::ptrdiff_t{kTransform / 2};
      std::copy(first, first + kTransform / 2, even.begin());
      std::copy(first, first + kTransform / 2, odd.begin());
      fl_power_spectrum(even.data(), odd.data(), kTransform);
      benchmark::DoNotOptimize(even[0]);
    }
  }
}

BENCHMARK_CAPTURE(Sound, mfe, false, 160);
BENCHMARK_CAPTURE(Transforms, of_mfe, 99);
BENCHMARK_CAPTURE(Sound, mfcc, true, 320);
BENCHMARK_CAPTURE(Transforms, of_mfcc, 49);

}  // namespace

BENCHMARK_MAIN();
