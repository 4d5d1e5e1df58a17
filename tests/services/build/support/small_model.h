// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_SMALL_MODEL_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_SMALL_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include <fieldloop/agent/v1/impulse.pb.h>

#include "agent/impulse/impulse.h"
#include "services/build/transport/proto_conversion.h"
#include "tests/agent/impulse/tflite_builder.h"
#include "tests/services/build/support/recipes.h"

namespace fieldloop::build {

// The classes of SmallModel.
inline std::vector<std::string> SmallClasses() { return {"run", "walk"}; }

// What SmallModel says of itself, without a self-test.
inline agent::v1::Impulse SmallImpulse() {
  agent::v1::Impulse impulse = ToAgentImpulse(SmallRecipe(), SmallClasses());
  for (int i = 0; i < 4; ++i) {
    impulse.mutable_standardisation()->add_mean(0);
    impulse.mutable_standardisation()->add_inverse_deviation(1);
  }
  impulse.mutable_standardisation()->set_clip(8);
  return impulse;
}

// A network for SmallRecipe with this metadata, without any if it is empty: "run" is the first
// reading's x, "walk" its y.
inline std::string SmallNetwork(const std::string& metadata) {
  using namespace fieldloop::testing;  // NOLINT(google-build-using-namespace)
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, 4}, 0.0625F, 0);
  const auto weights = builder.AddWeights({2, 4}, {100, 0, 0, 0, 0, 100, 0, 0}, {0.01F}, 0);
  const auto logits = builder.AddActivation({1, 2}, 0.125F, 0);
  const auto output = builder.AddActivation({1, 2}, 1.0F / 256, -128);
  builder.AddOperator({9, {input, weights, -1}, {logits}, 8, {ByteOption(0, 0)}});
  builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
  if (!metadata.empty()) {
    builder.AddMetadata("fieldloop.impulse", metadata);
  }
  const std::vector<std::uint8_t> file = builder.Build(input, output);
  return {file.begin(), file.end()};
}

// Puts the self-test of a window into `impulse`: what the network of SmallNetwork gives for it.
inline void AddSelfTest(agent::v1::Impulse& impulse) {
  const std::vector<float> window = {1, 0.5F, 0, 0};
  const std::string file = SmallNetwork(SmallImpulse().SerializeAsString());
  const auto* data = reinterpret_cast<const std::uint8_t*>(file.data());
  std::vector<std::uint64_t> arena(4096);
  fl_impulse_t opened{};
  fl_inference_t result{};
  if (fl_impulse_open(&opened, data, file.size(), arena.data(), arena.size() * 8) != FL_OK ||
      fl_impulse_run(&opened, window.data(), &result) != FL_OK) {
    return;  // The self-test is then missing, and the test that wants it fails.
  }
  impulse.mutable_self_test()->set_window(reinterpret_cast<const char*>(window.data()),
                                          window.size() * sizeof(float));
  impulse.mutable_self_test()->set_output(reinterpret_cast<const char*>(result.output), 2);
}

// A whole model that a device runs.
inline std::string SmallModel() {
  agent::v1::Impulse impulse = SmallImpulse();
  AddSelfTest(impulse);
  return SmallNetwork(impulse.SerializeAsString());
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_SMALL_MODEL_H_
