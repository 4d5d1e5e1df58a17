// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0
//
// The agent's CRC of half bytes is small and slow, and most of what a simulated device does. This
// one takes its place here: eight tables of 256 words, eight bytes at a time, made from the
// polynomial.

#include <array>
#include <cstring>

#include "agent/src/crc32.h"

namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

Tables MakeTables() {
  Tables tables;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xedb88320u ^ crc >> 1 : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t table = 1; table < tables.size(); ++table) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[table - 1][byte];
      tables[table][byte] = tables[0][crc & 0xff] ^ crc >> 8;
    }
  }
  return tables;
}

}  // namespace

extern "C" uint32_t fl_crc32(uint32_t crc, const void* data, size_t size) {
  static const Tables kTables = MakeTables();
  const auto* byte = static_cast<const uint8_t*>(data);
  crc = ~crc;
  for (; size >= 8; size -= 8, byte += 8) {
    uint32_t words[2];
    std::memcpy(words, byte, sizeof words);
    words[0] ^= crc;
    crc = 0;
    for (size_t i = 0; i < 4; ++i) {
      crc ^= kTables[7 - i][words[0] >> 8 * i & 0xff] ^ kTables[3 - i][words[1] >> 8 * i & 0xff];
    }
  }
  for (; size > 0; --size, ++byte) crc = kTables[0][(crc ^ *byte) & 0xff] ^ crc >> 8;
  return ~crc;
}
