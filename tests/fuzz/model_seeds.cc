// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the model fuzzer: a whole impulse, and the published models where they are.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/agent/impulse/proto_writer.h"
#include "tests/agent/impulse/tflite_builder.h"
#include "tests/fuzz/seed_file.h"

namespace {

using fieldloop::testing::ByteOption;
using fieldloop::testing::FlattenBlockMessage;
using fieldloop::testing::FloatOption;
using fieldloop::testing::ImpulseMessage;
using fieldloop::testing::ProtoWriter;
using fieldloop::testing::SpectralBlockMessage;
using fieldloop::testing::TfliteBuilder;
using fieldloop::testing::WindowMessage;
using fieldloop::testing::WriteSeed;

std::vector<std::uint8_t> DenseImpulse(const ProtoWriter& block, std::int32_t features) {
  ProtoWriter impulse = ImpulseMessage(WindowMessage(16, 1), {block});
  impulse.Bytes(6, "idle").Bytes(6, "walk");
  TfliteBuilder builder;
  const auto input = builder.AddActivation({1, features}, 0.0625F, 0);
  const auto weights = builder.AddWeights(
      {2, features}, std::vector<std::int8_t>(2 * static_cast<std::size_t>(features), 3), {0.01F},
      0);
  const auto logits = builder.AddActivation({1, 2}, 0.125F, 0);
  const auto output = builder.AddActivation({1, 2}, 1.0F / 256, -128);
  builder.AddOperator({9, {input, weights, -1}, {logits}, 8, {ByteOption(0, 0)}});
  builder.AddOperator({25, {logits}, {output}, 9, {FloatOption(0, 1)}});
  builder.AddMetadata("fieldloop.impulse", impulse.bytes());
  return builder.Build(input, output);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  WriteSeed(folder, "flatten", DenseImpulse(FlattenBlockMessage(1), 7));
  WriteSeed(folder, "spectral", DenseImpulse(SpectralBlockMessage(16, true), 11));
  const std::filesystem::path published =
      std::filesystem::path(FIELDLOOP_SHARED_DATA_DIR) / "edge-impulse/models";
  if (!std::filesystem::is_directory(published)) return 0;
  for (const auto& entry : std::filesystem::directory_iterator(published)) {
    std::ifstream file(entry.path(), std::ios::binary);
    WriteSeed(folder, entry.path().filename().string(),
              std::string(std::istreambuf_iterator<char>(file), {}));
  }
  return 0;
}
