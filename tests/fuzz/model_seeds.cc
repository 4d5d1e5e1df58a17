// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the model fuzzer: models of every operator, impulses of every block, and the
// published models where they are.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/agent/impulse/impulse_generator.h"
#include "tests/agent/impulse/model_generator.h"
#include "tests/fuzz/seed_file.h"

namespace {

using fieldloop::testing::ImpulseGenerator;
using fieldloop::testing::ModelGenerator;
using fieldloop::testing::WriteSeed;

constexpr std::uint64_t kSeeds = 3;  // Of every kind.

template <typename Generator>
void WriteGenerated(const std::filesystem::path& folder) {
  Generator generator;
  for (const std::string& kind : Generator::Kinds()) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      WriteSeed(folder, kind + " " + std::to_string(seed), generator.Generate(kind, seed).bytes);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  WriteGenerated<ModelGenerator>(folder);
  WriteGenerated<ImpulseGenerator>(folder);
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
