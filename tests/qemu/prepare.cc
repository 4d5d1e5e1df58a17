// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Lays out what the Cortex-M4 is to run, with the answers of the host beside it:
//
//   prepare FOLDER COUNT MODEL...
//
// COUNT generated models of every kind, as many impulses of every kind, and the given models become
// i.model, i.in and i.want; a line "kind or name, inputs, estimated instructions of one", divided
// by tabs, is printed for each.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "agent/impulse/cost.h"
#include "tests/agent/impulse/impulse_generator.h"
#include "tests/agent/impulse/model_generator.h"
#include "tests/qemu/runner.h"

namespace {

using fieldloop::testing::FixedRandom;
using fieldloop::testing::ImpulseGenerator;
using fieldloop::testing::ModelGenerator;

constexpr std::size_t kInputs = 4;

std::vector<std::uint64_t> arena(1U << 17U);  // The size of the board's.
std::vector<std::uint8_t> out(4U << 20U);

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "prepare: %s\n", message.c_str());
  std::exit(1);
}

void Write(const std::filesystem::path& path, const std::uint8_t* bytes, std::size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  if (!file.flush()) Fail("cannot write " + path.string());
}

// Readings like those of a moving sensor or a loud voice, or any int8 for a bare network.
std::vector<std::uint8_t> Inputs(std::size_t size, bool impulse, std::uint64_t seed) {
  FixedRandom random(seed);
  std::vector<std::uint8_t> bytes(kInputs * size);
  if (!impulse) {
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.Next());
    return bytes;
  }
  std::vector<float> values(kInputs * size / sizeof(float));
  float level = 0;
  for (float& value : values) {
    level = 0.9F * level + random.Float(-2, 2);
    value = level;
  }
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

void Prepare(const std::filesystem::path& folder, int index, const std::string& name,
             const std::vector<std::uint8_t>& model) {
  runner_t runner{};
  runner.arena = reinterpret_cast<std::uint8_t*>(arena.data());
  runner.arena_size = arena.size() * sizeof(std::uint64_t);
  runner.out = out.data();
  runner.out_size = out.size();
  const std::size_t input_size = runner_input_size(model.data(), model.size(), &runner);
  if (input_size == 0) Fail(name + " does not open");
  std::uint64_t instructions = 0;
  const bool impulse = fl_impulse_instructions(model.data(), model.size(), &instructions) == FL_OK;
  if (!impulse && fl_network_instructions(model.data(), model.size(), &instructions) != FL_OK) {
    Fail(name + " has no estimate");
  }
  const std::vector<std::uint8_t> inputs =
      Inputs(input_size, impulse, static_cast<std::uint64_t>(index));
  if (runner_run(model.data(), model.size(), inputs.data(), inputs.size(), &runner) != 0) {
    Fail(name + " does not run");
  }
  const std::string stem = std::to_string(index);
  Write(folder / (stem + ".model"), model.data(), model.size());
  Write(folder / (stem + ".in"), inputs.data(), inputs.size());
  Write(folder / (stem + ".want"), out.data(), runner.written);
  std::printf("%s\t%zu\t%llu\n", name.c_str(), kInputs,
              static_cast<unsigned long long>(instructions));
}

template <typename Generator>
void PrepareGenerated(const std::filesystem::path& folder, int count, int* index) {
  Generator generator;
  for (const std::string& kind : Generator::Kinds()) {
    for (int seed = 1; seed <= count; ++seed) {
      Prepare(folder, (*index)++, kind,
              generator.Generate(kind, static_cast<std::uint64_t>(seed)).bytes);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) Fail("usage: prepare FOLDER COUNT MODEL...");
  const std::filesystem::path folder = argv[1];
  int index = 0;
  PrepareGenerated<ModelGenerator>(folder, std::atoi(argv[2]), &index);
  PrepareGenerated<ImpulseGenerator>(folder, std::atoi(argv[2]), &index);
  for (int i = 3; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::vector<std::uint8_t> model(std::istreambuf_iterator<char>(file), {});
    Prepare(folder, index++, std::filesystem::path(argv[i]).filename().string(), model);
  }
  return 0;
}
