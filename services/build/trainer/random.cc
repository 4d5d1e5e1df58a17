// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/random.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

namespace fieldloop::build::trainer {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds and streams give unrelated generators.
std::uint64_t Mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

Random::Random(std::uint64_t seed, std::uint64_t stream) : engine_(Mix(Mix(seed) ^ stream)) {}

double Random::Uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

std::size_t Random::Below(std::size_t count) {
  // Drops the incomplete last round of remainders, so that none is more likely.
  const std::uint64_t n = count;
  const std::uint64_t dropped = (UINT64_MAX % n + 1) % n;
  std::uint64_t bits = engine_();
  while (bits > UINT64_MAX - dropped) {
    bits = engine_();
  }
  return static_cast<std::size_t>(bits % n);
}

double Random::Normal() {
  // Box and Muller; the second value of the pair is not kept, so that the state is the engine's
  // alone.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * Uniform());
}

void Random::Shuffle(std::vector<std::int64_t>& items) {
  for (std::size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[Below(i)]);
  }
}

}  // namespace fieldloop::build::trainer
