// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRAINER_RANDOM_H_
#define FIELDLOOP_SERVICES_BUILD_TRAINER_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace fieldloop::build::trainer {

// Random numbers of a training run. The standard fixes the bits of the generator but not those of
// its distributions, so these are our own: one seed gives the same run with every standard library.
class Random {
 public:
  // Runs with the same seed but another `stream` are independent of each other.
  Random(std::uint64_t seed, std::uint64_t stream);

  // 64 random bits.
  std::uint64_t Bits() { return engine_(); }
  // Uniform in [0, 1).
  double Uniform();
  // Uniform in 0 to count - 1; `count` is at least 1.
  std::size_t Below(std::size_t count);
  // Standard normal.
  double Normal();
  // Puts `items` into a random order, all orders equally likely.
  void Shuffle(std::vector<std::int64_t>& items);

 private:
  std::mt19937_64 engine_;
};

}  // namespace fieldloop::build::trainer

#endif  // FIELDLOOP_SERVICES_BUILD_TRAINER_RANDOM_H_
