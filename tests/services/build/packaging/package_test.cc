// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/packaging/package.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/packaging/int8_model.h"
#include "services/build/packaging/tflite_metadata.h"
#include "tests/agent/impulse/tflite_builder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

// Two readings of two axes, raw, two classes.
agent::v1::Impulse TwoClasses() {
  agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(2);
  impulse.mutable_window()->set_stride(2);
  impulse.mutable_window()->set_frequency_hz(100);
  impulse.mutable_window()->add_axes("x");
  impulse.mutable_window()->add_axes("y");
  impulse.add_blocks()->mutable_raw()->set_scale(1);
  impulse.add_classes("run");
  impulse.add_classes("walk");
  return impulse;
}

// Without metadata, as others make it: "run" is the first reading's x, "walk" its y.
std::string Network(std::int32_t inputs = 4) {
  using namespace fieldloop::testing;  // NOLINT(google-build-using-namespace)
  TfliteBuilder builder;
  std::vector<std::int8_t> values(2 * static_cast<std::size_t>(inputs), 0);
  values[0] = 100;
  values[static_cast<std::size_t>(inputs) + 1] = 100;
  const auto input = builder.AddActivation({1, inputs}, 0.0625F, 0);
  const auto weights = builder.AddWeights({2, inputs}, values, {0.01F}, 0);
  const auto logits = builder.AddActivation({1, 2}, 0.125F, 0);
  const auto output = builder.AddActivation({1, 2}, 1.0F / 256, -128);
  builder.AddOperator({9, {input, weights, -1}, {logits}, 8, {ByteOption(0, 0)}});
  builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
  const std::vector<std::uint8_t> file = builder.Build(input, output);
  return {file.begin(), file.end()};
}

// Windows whose class is the larger of x and y; the last is labelled wrongly.
LabelledRows Windows() {
  LabelledRows rows;
  rows.windows.shape = {40, 4};
  for (int i = 0; i < 40; ++i) {
    const bool walk = i % 2 == 1;
    const float size = 0.5F + static_cast<float>(i) / 20;
    const float window[] = {walk ? 0.1F : size, walk ? size : 0.1F, 0.3F, -0.2F * size};
    rows.windows.values.insert(rows.windows.values.end(), std::begin(window), std::end(window));
    rows.labels.push_back(walk != (i == 39) ? 1 : 0);
  }
  return rows;
}

TEST(TfliteMetadata, ComesBackAndTheNetworkStaysAsItWas) {
  const std::string model = Network();
  const absl::StatusOr<std::string> with = WithImpulseMetadata(model, "some metadata");
  ASSERT_THAT(with, IsOk());
  EXPECT_EQ(with->substr(with->size() - model.size()), model);
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(with->data());
  ASSERT_EQ(fl_tflite_metadata(bytes, with->size(), kImpulseMetadata, &data, &size), FL_OK);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data), size), "some metadata");
  EXPECT_EQ((data - bytes) % 16, 0);
  fl_refusal_t refusal;
  EXPECT_EQ(fl_network_check(bytes, with->size(), &refusal), FL_OK);
}

TEST(TfliteMetadata, TheNewerReplacesTheOlder) {
  const std::string once = *WithImpulseMetadata(Network(), std::string(100, 'a'));
  const std::string twice = *WithImpulseMetadata(once, "b");
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(fl_tflite_metadata(reinterpret_cast<const std::uint8_t*>(twice.data()), twice.size(),
                               kImpulseMetadata, &data, &size),
            FL_OK);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(data), size), "b");
}

TEST(TfliteMetadata, NoPrefixAndNoChangedByteLeadsOutside) {
  const std::string model = *WithImpulseMetadata(Network(), "m");
  for (std::size_t size = 0; size < model.size(); ++size) {
    WithImpulseMetadata(model.substr(0, size), "x").IgnoreError();
  }
  for (std::size_t i = 0; i < model.size(); ++i) {
    for (const char value : {'\0', '\x01', '\x7f', '\x80', '\xff'}) {
      std::string changed = model;
      changed[i] = value;
      WithImpulseMetadata(changed, "x").IgnoreError();
    }
  }
  EXPECT_THAT(WithImpulseMetadata("", "x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(WithImpulseMetadata("no model at all", "x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Package, AForeignModelGetsAllThatADeviceNeeds) {
  const absl::StatusOr<std::string> file = PackageModel(Network(), TwoClasses(), Windows());
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(*PackageModel(Network(), TwoClasses(), Windows()), *file);
  const auto model = Int8Model::Open(*file);
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT((*model)->SelfTest(), IsOk());
  const absl::StatusOr<agent::v1::Impulse> impulse = ImpulseOf(*file);
  ASSERT_THAT(impulse, IsOk());
  EXPECT_GE(impulse->reference().channels_size(), 2);
  EXPECT_EQ(impulse->calibration().bin_accuracy_size(),
            impulse->reference().channels(0).edges_size() + 1);
  EXPECT_NEAR(impulse->reference().class_shares(0), 0.5F, 0.01F);
  EXPECT_GT(impulse->uncertain_below(), 0);
  EXPECT_EQ(impulse->self_test().window().size(), 4 * sizeof(float));
}

TEST(Package, WithoutWindowsThereIsASelfTestAndNoReference) {
  const absl::StatusOr<std::string> file = PackageModel(Network(), TwoClasses(), {});
  ASSERT_THAT(file, IsOk());
  const auto model = Int8Model::Open(*file);
  ASSERT_THAT(model, IsOk());
  EXPECT_THAT((*model)->SelfTest(), IsOk());
  EXPECT_EQ(ImpulseOf(*file)->reference().channels_size(), 0);
}

TEST(Package, WhatTheModelCarriesAlreadyStays) {
  const std::string packaged = *PackageModel(Network(), TwoClasses(), Windows());
  const agent::v1::Impulse carried = *ImpulseOf(packaged);
  const absl::StatusOr<std::string> again = PackageModel(packaged, carried, {});
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(ImpulseOf(*again)->SerializeAsString(), carried.SerializeAsString());
}

TEST(Package, WhatDoesNotFitIsSaid) {
  EXPECT_THAT(std::string(PackageModel(Network(5), TwoClasses(), {}).status().message()),
              HasSubstr("its input has 5 values, the impulse has 4 features"));
  agent::v1::Impulse three = TwoClasses();
  three.add_classes("sit");
  EXPECT_THAT(std::string(PackageModel(Network(), three, {}).status().message()),
              HasSubstr("its output has 2 values, but there are 3 classes"));
  EXPECT_THAT(PackageModel("nonsense", TwoClasses(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ImpulseOf(Network()), StatusIs(absl::StatusCode::kNotFound));
}

TEST(Package, APublishedModelIsPackaged) {
  const std::string path =
      std::string(FIELDLOOP_SHARED_DATA_DIR) + "/edge-impulse/models/gestures-i8.lite";
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "needs " << path;
  }
  std::ifstream stream(path, std::ios::binary);
  const std::string model(std::istreambuf_iterator<char>(stream), {});
  agent::v1::Impulse impulse;
  impulse.set_format(1);
  impulse.mutable_window()->set_length(125);
  impulse.mutable_window()->set_stride(125);
  impulse.mutable_window()->set_frequency_hz(62.5F);
  for (const char* axis : {"accX", "accY", "accZ"}) {
    impulse.mutable_window()->add_axes(axis);
  }
  impulse.add_blocks()->mutable_raw()->set_scale(1);
  for (const char* name : {"idle", "snake", "updown", "wave"}) {
    impulse.add_classes(name);
  }
  const absl::StatusOr<std::string> file = PackageModel(model, impulse, {});
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT((*Int8Model::Open(*file))->SelfTest(), IsOk());
}

}  // namespace
}  // namespace fieldloop::build
