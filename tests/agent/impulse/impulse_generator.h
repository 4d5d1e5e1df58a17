// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_IMPULSE_IMPULSE_GENERATOR_H_
#define FIELDLOOP_TESTS_AGENT_IMPULSE_IMPULSE_GENERATOR_H_

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/impulse/dsp.h"
#include "tests/agent/impulse/model_generator.h"
#include "tests/agent/impulse/proto_writer.h"
#include "tests/agent/impulse/tflite_builder.h"

namespace fieldloop::testing {

// Whole impulses: signal processing with random parameters before a dense network.
class ImpulseGenerator {
 public:
  static const std::vector<std::string>& Kinds() {
    static const std::vector<std::string> kinds = {
        "impulse, raw",      "impulse, flatten", "impulse, spectral",
        "impulse, filtered", "impulse, mfe",     "impulse, mfcc",
        "impulse, k-means",  "impulse, mixture", "impulse, two blocks"};
    return kinds;
  }

  GeneratedModel Generate(const std::string& kind, std::uint64_t seed) {
    random_ = FixedRandom(seed * 7919U + kind.size());
    const bool sound = kind == "impulse, mfe" || kind == "impulse, mfcc";
    const auto length =
        static_cast<std::uint32_t>(sound ? random_.Int(800, 4000) : random_.Int(20, 200));
    const auto axes = static_cast<std::uint32_t>(sound ? 1 : random_.Int(2, 6));
    std::vector<ProtoWriter> blocks = {Block(kind)};
    if (kind == "impulse, two blocks") blocks.push_back(SpectralBlockMessage(64, true));
    ProtoWriter impulse = ImpulseMessage(WindowMessage(length, axes), blocks);
    if (!sound && random_.Coin()) impulse.Message(3, MagnitudeMessage(0, 2));
    const std::int32_t features = FeaturesOf(impulse);
    const auto count = static_cast<std::size_t>(features);
    impulse.Message(5, ProtoWriter()
                           .Floats(1, Floats(count, -1, 1))
                           .Floats(2, Floats(count, 0.2F, 2))
                           .Float(3, 6));
    impulse.Bytes(6, "idle").Bytes(6, "walk").Bytes(6, "run");
    if (kind == "impulse, k-means") {
      impulse.Message(
          11, KMeansMessage(std::string("\0\3\6", 3), Floats(12, -2, 2), Floats(4, 0, 1), 1));
    } else if (kind == "impulse, mixture") {
      impulse.Message(
          11, MixtureMessage("\1\2", Floats(3, -2, 0), Floats(6, -2, 2), Floats(6, 0.5F, 2), 4));
    }
    return {kind, Model(features, impulse)};
  }

 private:
  std::vector<float> Floats(std::size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = random_.Float(low, high);
    return values;
  }

  ProtoWriter Block(const std::string& kind) {
    if (kind == "impulse, raw") return RawBlockMessage(random_.Float(0.1F, 2));
    if (kind == "impulse, spectral") {
      return SpectralBlockMessage(random_.Pick<std::uint32_t>({8, 16, 32, 64, 128, 256}),
                                  random_.Coin());
    }
    if (kind == "impulse, filtered") {
      return FilteredBlockMessage(random_.Pick<std::uint32_t>({16, 32, 64}),
                                  random_.Coin() ? FilterKind::kLowPass : FilterKind::kHighPass,
                                  random_.Float(5, 40), random_.Pick<std::uint32_t>({2, 4, 6, 8}));
    }
    MelParameters mel;
    mel.fft_length = random_.Pick<std::uint32_t>({64, 128, 256, 512});
    mel.frame_length = mel.fft_length - static_cast<std::uint32_t>(random_.Int(0, 30));
    mel.frame_stride = mel.frame_length / static_cast<std::uint32_t>(random_.Int(1, 2));
    mel.filter_count = static_cast<std::uint32_t>(random_.Int(8, 40));
    mel.pre_emphasis = random_.Pick<float>({0, 0.98F});
    mel.coefficient_count = static_cast<std::uint32_t>(random_.Int(4, 8));
    mel.normalisation_frames = random_.Pick<std::uint32_t>({0, 11, 101});
    if (kind == "impulse, mfe") return MfeBlockMessage(mel);
    if (kind == "impulse, mfcc") return MfccBlockMessage(mel);
    return FlattenBlockMessage(random_.Float(0.5F, 2), random_.Coin());
  }

  static std::int32_t FeaturesOf(const ProtoWriter& impulse) {
    const std::string& bytes = impulse.bytes();
    fl_dsp_t dsp;
    if (fl_dsp_open(&dsp, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) !=
        FL_OK) {
      std::abort();
    }
    return static_cast<std::int32_t>(dsp.feature_count);
  }

  std::vector<std::uint8_t> Model(std::int32_t features, const ProtoWriter& impulse) {
    std::vector<std::int8_t> weights;
    for (std::int32_t i = 0; i < 3 * features; ++i) {
      weights.push_back(static_cast<std::int8_t>(random_.Int(-127, 127)));
    }
    TfliteBuilder builder;
    const auto input = builder.AddActivation({1, features}, 6.0F / 127, 0);
    const auto layer = builder.AddWeights({3, features}, weights, {0.005F}, 0);
    const auto logits = builder.AddActivation({1, 3}, 0.1F, 0);
    const auto output = builder.AddActivation({1, 3}, 1.0F / 256, -128);
    builder.AddOperator({9, {input, layer, -1}, {logits}, 8, {}});
    builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
    builder.AddMetadata("fieldloop.impulse", impulse.bytes());
    return builder.Build(input, output);
  }

  FixedRandom random_{1};
};

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_AGENT_IMPULSE_IMPULSE_GENERATOR_H_
