// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// A model file: opened as an impulse and as a bare network and, if that works, run.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "agent/impulse/impulse.h"
#include "agent/impulse/network.h"

namespace {

// Larger ones are left alone: they only cost time.
constexpr std::size_t kLargestArena = 1U << 18U;

// Memory of the exact size, so that the sanitizer sees every step outside.
class Arena {
 public:
  explicit Arena(std::size_t size) : bytes_(std::malloc(size == 0 ? 1 : size)) {}
  ~Arena() { std::free(bytes_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  [[nodiscard]] void* bytes() const { return bytes_; }

 private:
  void* bytes_;
};

// A size that was promised must do.
void Require(bool condition) {
  if (!condition) std::abort();
}

void RunNetwork(const std::uint8_t* data, std::size_t size) {
  std::size_t arena_size = 0;
  if (fl_network_arena_size(data, size, &arena_size) != FL_OK || arena_size > kLargestArena) return;
  const Arena arena(arena_size);
  fl_network_t network;
  Require(fl_network_open(&network, data, size, arena.bytes(), arena_size) == FL_OK);
  for (std::uint32_t i = 0; i < network.input_size; ++i) {
    network.input[i] = static_cast<std::int8_t>(i * 37);
  }
  fl_network_run(&network);
}

void RunImpulse(const std::uint8_t* data, std::size_t size) {
  std::size_t arena_size = 0;
  if (fl_impulse_arena_size(data, size, &arena_size) != FL_OK || arena_size > kLargestArena) return;
  const Arena arena(arena_size);
  const auto impulse = std::make_unique<fl_impulse_t>();
  if (fl_impulse_open(impulse.get(), data, size, arena.bytes(), arena_size) != FL_OK) return;
  static_cast<void>(fl_impulse_self_test(impulse.get()));
  std::vector<float> window(fl_impulse_window_values(impulse.get()));
  for (std::size_t i = 0; i < window.size(); ++i) {
    window[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
  }
  fl_inference_t result;
  static_cast<void>(fl_impulse_run(impulse.get(), window.data(), &result));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  RunNetwork(data, size);
  RunImpulse(data, size);
  return 0;
}
