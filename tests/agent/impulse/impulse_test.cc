// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/impulse/impulse.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "agent/impulse/cost.h"
#include "tests/agent/impulse/proto_writer.h"
#include "tests/agent/impulse/tflite_builder.h"

namespace {

using fieldloop::testing::ByteOption;
using fieldloop::testing::FloatBytes;
using fieldloop::testing::FloatOption;
using fieldloop::testing::ImpulseMessage;
using fieldloop::testing::KMeansMessage;
using fieldloop::testing::MixtureMessage;
using fieldloop::testing::ProtoWriter;
using fieldloop::testing::RawBlockMessage;
using fieldloop::testing::TfliteBuilder;
using fieldloop::testing::WindowMessage;

// Two readings of two axes, raw, standardised; three classes that are sums of the features.
struct Recipe {
  ProtoWriter window = WindowMessage(2, 2);
  std::vector<std::string> classes = {"idle", "walk", "run"};
  std::vector<ProtoWriter> channels;
  ProtoWriter extra;  // Appended to the Impulse.
  std::string metadata_name = "fieldloop.impulse";
};

ProtoWriter Channel(int kind, std::uint32_t feature, const std::vector<float>& edges) {
  return ProtoWriter()
      .Varint(1, static_cast<std::uint64_t>(kind))
      .Varint(2, feature)
      .Floats(3, edges);
}

std::vector<std::uint8_t> Model(const Recipe& recipe) {
  ProtoWriter impulse = ImpulseMessage(recipe.window, {RawBlockMessage(1)});
  impulse.Message(5, ProtoWriter().Floats(1, {1, 1, 1, 1}).Floats(2, {2, 2, 2, 2}).Float(3, 8.0F));
  for (const std::string& name : recipe.classes) impulse.Bytes(6, name);
  ProtoWriter reference;
  reference.Varint(1, 77);
  for (const ProtoWriter& channel : recipe.channels) reference.Message(2, channel);
  impulse.Message(7, reference);
  impulse.Float(10, 0.5F);

  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.0625F, 0);
  const auto weights =
      builder.AddWeights({3, 4}, {100, 0, 0, 0, 0, 100, 0, 0, 0, 0, 100, 100}, {0.01F}, 0);
  const auto logits = builder.AddActivation({1, 3}, 0.125F, 0);
  const auto output = builder.AddActivation({1, 3}, 1.0F / 256, -128);
  builder.AddOperator({9, {input, weights, -1}, {logits}, 8, {ByteOption(0, 0)}});
  builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
  builder.AddMetadata("min_runtime_version", "1.5.0");
  builder.AddMetadata(recipe.metadata_name, impulse.bytes() + recipe.extra.bytes());
  return builder.Build(input, output);
}

class OpenedImpulse {
 public:
  explicit OpenedImpulse(std::vector<std::uint8_t> model) : model_(std::move(model)) {
    std::size_t size = 0;
    status_ = fl_impulse_arena_size(model_.data(), model_.size(), &size);
    if (status_ != FL_OK || size > (1U << 20)) return;
    arena_.resize((size + 7) / 8);
    status_ = fl_impulse_open(&impulse_, model_.data(), model_.size(), arena_.data(), size);
    opened_ = status_ == FL_OK;
  }

  fl_impulse_t* get() { return &impulse_; }
  [[nodiscard]] fl_status_t status() const { return status_; }
  [[nodiscard]] bool opened() const { return opened_; }

 private:
  std::vector<std::uint8_t> model_;
  std::vector<std::uint64_t> arena_;
  fl_impulse_t impulse_{};
  fl_status_t status_ = FL_OK;
  bool opened_ = false;
};

fl_status_t StatusOf(const Recipe& recipe) { return OpenedImpulse(Model(recipe)).status(); }

TEST(Impulse, ClassifiesAWindow) {
  OpenedImpulse impulse(Model({}));
  ASSERT_EQ(impulse.status(), FL_OK);
  EXPECT_EQ(fl_impulse_window_values(impulse.get()), 4U);
  // z = 2 (x - 1) = 0, 2, 1, 0: the classes get 0, 2, 1.
  const std::vector<float> window = {1, 2, 1.5F, 1};
  fl_inference_t result;
  ASSERT_EQ(fl_impulse_run(impulse.get(), window.data(), &result), FL_OK);
  const double sum = 1 + std::exp(2.0) + std::exp(1.0);
  const double want[3] = {1 / sum, std::exp(2.0) / sum, std::exp(1.0) / sum};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(static_cast<double>(result.probability[i]), want[i], 1.0 / 256);
    EXPECT_EQ(result.probability[i], static_cast<float>(result.output[i] + 128) / 256);
  }
  EXPECT_EQ(result.predicted_class, 1U);
  EXPECT_EQ(result.confidence, result.probability[1]);
  EXPECT_EQ(result.novelty, (0 + 4 + 1 + 0) / 4.0F);
}

TEST(Impulse, TheLowestOfEqualClassesIsPredicted) {
  OpenedImpulse impulse(Model({}));
  const std::vector<float> window = {1, 2, 2, 1};
  fl_inference_t result;
  ASSERT_EQ(fl_impulse_run(impulse.get(), window.data(), &result), FL_OK);
  ASSERT_EQ(result.output[1], result.output[2]);
  EXPECT_EQ(result.predicted_class, 1U);
}

TEST(Impulse, ChannelsAreBinnedWithTheLowerEdgeInside) {
  Recipe recipe;
  recipe.channels = {Channel(1, 99, {0.25F, 0.5F, 0.75F}), Channel(2, 99, {1.25F, 2}),
                     Channel(3, 1, {-1, 2, 2.5F}), Channel(3, 0, {0.5F}), Channel(3, 2, {-1, 0})};
  OpenedImpulse impulse(Model(recipe));
  ASSERT_EQ(impulse.status(), FL_OK);
  const std::vector<float> window = {1, 2, 1.5F, 1};
  fl_inference_t result;
  ASSERT_EQ(fl_impulse_run(impulse.get(), window.data(), &result), FL_OK);
  EXPECT_EQ(result.channel_value[0], result.confidence);
  EXPECT_EQ(result.channel_bin[0], 2);
  EXPECT_EQ(result.channel_value[1], 1.25F);
  EXPECT_EQ(result.channel_bin[1], 1);
  EXPECT_EQ(result.channel_value[2], 2.0F);
  EXPECT_EQ(result.channel_bin[2], 2);
  EXPECT_EQ(result.channel_bin[3], 0);
  EXPECT_EQ(result.channel_bin[4], 2);
}

// A cluster of radius 1.5 around z = 0 of the features 1 and 2.
ProtoWriter Cluster(float threshold) { return KMeansMessage({1, 2}, {0, 0}, {1.5F}, threshold); }

TEST(Impulse, TheAnomalyBlockScoresTheStandardisedFeatures) {
  // z of the features 1 and 2: 2 and 1.5, a distance of 2.5.
  const std::vector<float> window = {1, 2, 1.75F, 1};
  for (const float threshold : {0.5F, 1.0F, 2.0F}) {
    Recipe recipe;
    recipe.channels = {Channel(4, 99, {0, 1, 2}), Channel(1, 0, {0.5F})};
    recipe.extra.Message(11, Cluster(threshold));
    OpenedImpulse impulse(Model(recipe));
    ASSERT_EQ(impulse.status(), FL_OK);
    fl_inference_t result;
    ASSERT_EQ(fl_impulse_run(impulse.get(), window.data(), &result), FL_OK);
    EXPECT_TRUE(result.has_anomaly);
    EXPECT_EQ(result.anomaly, 1.0F);
    EXPECT_EQ(result.anomalous, threshold < 1);
    EXPECT_EQ(result.channel_value[0], 1.0F);
    EXPECT_EQ(result.channel_bin[0], 2);
    EXPECT_EQ(result.channel_value[1], result.confidence);
  }
}

TEST(Impulse, WithoutAnAnomalyBlockNothingIsAnomalous) {
  OpenedImpulse impulse(Model({}));
  const std::vector<float> window = {1, 200, 1, 1};
  fl_inference_t result;
  ASSERT_EQ(fl_impulse_run(impulse.get(), window.data(), &result), FL_OK);
  EXPECT_FALSE(result.has_anomaly);
  EXPECT_FALSE(result.anomalous);
  EXPECT_EQ(result.anomaly, 0.0F);
}

TEST(Impulse, AnAnomalyBlockThatDoesNotFitIsRefused) {
  const auto status = [](const ProtoWriter& anomaly) {
    Recipe recipe;
    recipe.extra.Message(11, anomaly);
    return StatusOf(recipe);
  };
  EXPECT_EQ(status(Cluster(0)), FL_OK);
  EXPECT_EQ(status(MixtureMessage({3}, {0}, {0}, {1}, 0)), FL_OK);
  EXPECT_EQ(status(KMeansMessage({4}, {0}, {1}, 0)), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(KMeansMessage({3}, {0, 0}, {1}, 0)), FL_ERR_CORRUPT);
  EXPECT_EQ(status(ProtoWriter()), FL_ERR_CORRUPT);
}

TEST(Impulse, AWindowThatIsNoNumberIsRefused) {
  OpenedImpulse impulse(Model({}));
  const std::vector<float> window = {1, std::numeric_limits<float>::quiet_NaN(), 1, 1};
  fl_inference_t result;
  EXPECT_EQ(fl_impulse_run(impulse.get(), window.data(), &result), FL_ERR_ARG);
}

TEST(Impulse, SelfTestPassesOnTheExactOutputOnly) {
  const std::vector<float> window = {1, 2, 1.5F, 1};
  fl_inference_t result;
  OpenedImpulse without(Model({}));
  EXPECT_EQ(fl_impulse_self_test(without.get()), FL_ERR_NOT_FOUND);
  ASSERT_EQ(fl_impulse_run(without.get(), window.data(), &result), FL_OK);
  std::string expected(result.output, result.output + 3);

  Recipe recipe;
  recipe.extra.Message(9, ProtoWriter().Floats(1, window).Bytes(2, expected));
  OpenedImpulse good(Model(recipe));
  ASSERT_EQ(good.status(), FL_OK);
  EXPECT_EQ(fl_impulse_self_test(good.get()), FL_OK);

  for (std::size_t i = 0; i < 3; ++i) {
    std::string wrong = expected;
    wrong[i] = static_cast<char>(wrong[i] + 1);
    Recipe other;
    other.extra.Message(9, ProtoWriter().Floats(1, window).Bytes(2, wrong));
    OpenedImpulse bad(Model(other));
    ASSERT_EQ(bad.status(), FL_OK);
    EXPECT_EQ(fl_impulse_self_test(bad.get()), FL_ERR_SELF_TEST);
  }
}

TEST(Impulse, AWindowOfIntegersGivesTheSameAndMayBeTheSelfTest) {
  const std::vector<std::int16_t> integers = {1, 2, 3, -4};
  const std::vector<float> floats = {1, 2, 3, -4};
  const std::string window(reinterpret_cast<const char*>(integers.data()), 8);
  OpenedImpulse without(Model({}));
  fl_inference_t of_integers;
  fl_inference_t of_floats;
  ASSERT_EQ(fl_impulse_run_int16(without.get(), integers.data(), &of_integers), FL_OK);
  ASSERT_EQ(fl_impulse_run(without.get(), floats.data(), &of_floats), FL_OK);
  std::string output(of_floats.output, of_floats.output + 3);
  EXPECT_EQ(std::string(of_integers.output, of_integers.output + 3), output);
  EXPECT_EQ(of_integers.novelty, of_floats.novelty);

  const auto self_test = [](const ProtoWriter& message) {
    Recipe recipe;
    recipe.extra.Message(9, message);
    OpenedImpulse impulse(Model(recipe));
    return impulse.status() == FL_OK ? fl_impulse_self_test(impulse.get()) : impulse.status();
  };
  EXPECT_EQ(self_test(ProtoWriter().Bytes(3, window).Bytes(2, output)), FL_OK);
  EXPECT_EQ(self_test(ProtoWriter().Bytes(3, window).Bytes(2, output).Floats(1, floats)),
            FL_ERR_CORRUPT);
  EXPECT_EQ(self_test(ProtoWriter().Bytes(3, window.substr(2)).Bytes(2, output)), FL_ERR_CORRUPT);
  output[1] = static_cast<char>(output[1] + 1);
  EXPECT_EQ(self_test(ProtoWriter().Bytes(3, window).Bytes(2, output)), FL_ERR_SELF_TEST);
}

TEST(Impulse, ASelfTestOfAnotherSizeIsRefused) {
  for (const auto& [values, outputs] :
       {std::pair<std::size_t, std::size_t>{3, 3}, {4, 2}, {4, 0}, {0, 3}}) {
    Recipe recipe;
    recipe.extra.Message(9, ProtoWriter()
                                .Floats(1, std::vector<float>(values, 1.0F))
                                .Bytes(2, std::string(outputs, 'x')));
    EXPECT_EQ(StatusOf(recipe), FL_ERR_CORRUPT) << values << " " << outputs;
  }
}

TEST(Impulse, AModelWithoutMetadataIsNotFound) {
  Recipe recipe;
  recipe.metadata_name = "fieldloop.impulsf";
  EXPECT_EQ(StatusOf(recipe), FL_ERR_NOT_FOUND);
}

TEST(Impulse, ClassesAndFeaturesMustFitTheNetwork) {
  Recipe recipe;
  recipe.classes = {"idle", "walk"};
  EXPECT_EQ(StatusOf(recipe), FL_ERR_CORRUPT);
  recipe.classes = {"idle"};
  EXPECT_EQ(StatusOf(recipe), FL_ERR_UNSUPPORTED);
  recipe.classes.assign(33, "x");
  EXPECT_EQ(StatusOf(recipe), FL_ERR_CORRUPT);

  // One reading of four axes has the four features; one of two axes has not.
  Recipe other;
  other.window = WindowMessage(1, 4);
  EXPECT_EQ(StatusOf(other), FL_OK);
  other.window = WindowMessage(1, 2);
  EXPECT_NE(StatusOf(other), FL_OK);
}

TEST(Impulse, AChannelOutOfRangeIsRefused) {
  const auto status = [](const ProtoWriter& channel) {
    Recipe recipe;
    recipe.channels = {channel};
    return StatusOf(recipe);
  };
  EXPECT_EQ(status(Channel(3, 3, {1})), FL_OK);
  EXPECT_EQ(status(Channel(3, 4, {1})), FL_ERR_CORRUPT);
  EXPECT_EQ(status(Channel(0, 0, {1})), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(Channel(9, 0, {1})), FL_ERR_UNSUPPORTED);
  EXPECT_EQ(status(Channel(4, 0, {1})), FL_ERR_CORRUPT);  // There is no anomaly block.
  EXPECT_EQ(status(Channel(1, 0, {})), FL_ERR_CORRUPT);
  EXPECT_EQ(status(Channel(1, 0, {1, 1})), FL_ERR_CORRUPT);
  EXPECT_EQ(status(Channel(1, 0, {2, 1})), FL_ERR_CORRUPT);
  EXPECT_EQ(status(Channel(1, 0, {std::numeric_limits<float>::quiet_NaN()})), FL_ERR_CORRUPT);
  EXPECT_EQ(status(Channel(1, 0, std::vector<float>(16, 1))), FL_ERR_CORRUPT);
}

TEST(Impulse, AnArenaThatIsTooSmallIsRefused) {
  const std::vector<std::uint8_t> model = Model({});
  std::size_t size = 0;
  ASSERT_EQ(fl_impulse_arena_size(model.data(), model.size(), &size), FL_OK);
  std::vector<std::uint64_t> arena(size / 8 + 1);
  fl_impulse_t impulse;
  EXPECT_EQ(fl_impulse_open(&impulse, model.data(), model.size(), arena.data(), size - 1),
            FL_ERR_NO_SPACE);
  EXPECT_EQ(fl_impulse_open(&impulse, model.data(), model.size(), arena.data(), size), FL_OK);
}

TEST(Impulse, ADamagedModelNeverReadsOutside) {
  Recipe recipe;
  recipe.channels = {Channel(1, 0, {0.5F}), Channel(3, 2, {0})};
  recipe.extra.Message(9, ProtoWriter().Floats(1, {1, 2, 1.5F, 1}).Bytes(2, "abc"));
  recipe.extra.Message(11, MixtureMessage({0, 3}, {0, -1}, {0, 0, 1, 1}, {1, 1, 1, 1}, 2));
  const std::vector<std::uint8_t> whole = Model(recipe);
  const auto try_run = [](const std::vector<std::uint8_t>& model) {
    OpenedImpulse impulse(model);
    if (!impulse.opened()) return;
    std::vector<float> window(fl_impulse_window_values(impulse.get()), 1.0F);
    fl_inference_t result;
    (void)fl_impulse_run(impulse.get(), window.data(), &result);
    (void)fl_impulse_self_test(impulse.get());
  };
  for (std::size_t size = 0; size < whole.size(); ++size) {
    try_run({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int flip = 1; flip < 256; flip = flip * 2 + (flip % 3)) {
      std::vector<std::uint8_t> model = whole;
      model[i] = static_cast<std::uint8_t>(model[i] ^ flip);
      try_run(model);
    }
  }
}

TEST(Quantise, HalvesGoAwayFromZeroAndTheRestIsClamped) {
  EXPECT_EQ(fl_quantise(1.25F, 0.5F, 0), 3);
  EXPECT_EQ(fl_quantise(-1.25F, 0.5F, 0), -3);
  EXPECT_EQ(fl_quantise(1.2F, 0.5F, 10), 12);
  EXPECT_EQ(fl_quantise(-1.2F, 0.5F, 10), 8);
  EXPECT_EQ(fl_quantise(0.49999997F, 1, 0), 0);
  EXPECT_EQ(fl_quantise(63.5F, 0.5F, 0), 127);
  EXPECT_EQ(fl_quantise(64, 0.5F, 0), 127);
  EXPECT_EQ(fl_quantise(-1000, 0.5F, 0), -128);
  EXPECT_EQ(fl_quantise(std::numeric_limits<float>::infinity(), 1, 0), 127);
  EXPECT_EQ(fl_quantise(-std::numeric_limits<float>::infinity(), 1, 0), -128);
  EXPECT_EQ(fl_quantise(std::numeric_limits<float>::quiet_NaN(), 1, 0), -128);
}

TEST(Cost, IsAboveThatOfTheNetworkAndRefusesWhatIsNotAModel) {
  const std::vector<std::uint8_t> model = Model({});
  std::uint64_t network = 0;
  std::uint64_t all = 0;
  ASSERT_EQ(fl_network_instructions(model.data(), model.size(), &network), FL_OK);
  ASSERT_EQ(fl_impulse_instructions(model.data(), model.size(), &all), FL_OK);
  EXPECT_GT(all, network);
  EXPECT_EQ(fl_impulse_instructions(model.data(), 100, &all), FL_ERR_CORRUPT);
}

}  // namespace
