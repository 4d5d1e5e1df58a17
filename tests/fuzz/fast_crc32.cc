// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Takes the place of agent/src/crc32.c in the fuzzers: the same numbers, eight bytes at a time.
// Checksums of flash are most of what the agent computes, and nothing to find is in their loop.
#include <cstddef>
#include <cstdint>

#include "agent/src/crc32.h"
#include "tests/fuzz/agent_device.h"

namespace {

struct Tables {
  std::uint32_t values[8][256];
};

constexpr Tables MakeTables() {
  Tables tables = {};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1U ^ ((value & 1U) != 0 ? 0xedb88320U : 0U);
    tables.values[0][i] = value;
  }
  for (unsigned table = 1; table < 8; ++table) {
    for (unsigned i = 0; i < 256; ++i) {
      const std::uint32_t value = tables.values[table - 1][i];
      tables.values[table][i] = value >> 8U ^ tables.values[0][value & 0xffU];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

FIELDLOOP_UNOBSERVED std::uint32_t Continue(std::uint32_t crc, const std::uint8_t* data,
                                            std::size_t size) {
  const std::uint32_t* tables = &kTables.values[0][0];
  for (; size >= 8; data += 8, size -= 8) {
    std::uint64_t word = 0;
    __builtin_memcpy(&word, data, sizeof word);
    word ^= crc;
    crc = 0;
    for (unsigned i = 0; i < 8; ++i) crc ^= tables[(7 - i) * 256 + (word >> 8 * i & 0xffU)];
  }
  for (; size > 0; ++data, --size) crc = crc >> 8U ^ tables[(crc ^ *data) & 0xffU];
  return crc;
}

}  // namespace

extern "C" std::uint32_t fl_crc32(std::uint32_t crc, const void* data, std::size_t size) {
  if (size == 0) return crc;
  // The first and the last byte are read here, where the sanitizer sees it.
  const auto* bytes = static_cast<const volatile std::uint8_t*>(data);
  static_cast<void>(bytes[0]);
  static_cast<void>(bytes[size - 1]);
  return ~Continue(~crc, static_cast<const std::uint8_t*>(data), size);
}
