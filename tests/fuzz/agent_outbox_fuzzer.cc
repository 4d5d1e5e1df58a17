// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// An outbox of 3 sectors over any bytes, and what an agent does with it. The input: a byte for the
// checksums, 8 bytes of calls, then the bytes of the area. With a bit of the first byte set, the
// checksums of that sector's header and entries are made right, so that what they protect is read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "agent/src/crc32.h"
#include "fieldloop_agent/outbox.h"
#include "tests/fuzz/agent_device.h"

namespace {

using fieldloop::fuzz::Flash;
using fieldloop::fuzz::Require;

constexpr std::uint32_t kSectors = 3;
constexpr std::uint32_t kSectorSize = 512;
constexpr std::uint32_t kUnit = 8;
constexpr std::size_t kCalls = 8;

using Area = Flash<kSectors, kSectorSize, kUnit>;

void Put32(std::uint8_t* to, std::uint32_t value) { std::memcpy(to, &value, sizeof value); }

// Makes magic numbers and checksums of a sector right, as far as sizes lead.
void Repair(std::uint8_t* sector) {
  Put32(sector, 0x31534c46U);
  Put32(sector + 12, fl_crc32(0, sector, 12));
  for (std::uint32_t at = 32; at + 32 + kUnit <= kSectorSize;) {
    std::uint8_t* entry = sector + at;
    if (entry[0] == 0xff) return;
    const std::uint32_t room = kSectorSize - at - 32 - kUnit;
    const std::uint32_t size = std::min<std::uint32_t>(entry[8], room);
    Put32(entry, 0x31454c46U);
    Put32(entry + 8, size);
    if ((entry[20] & 1U) == 0) Put32(entry + 20, fl_crc32(0, entry + 32 + kUnit, size));
    Put32(entry + 24, fl_crc32(0, entry, 24));
    at += 32 + kUnit + (size + kUnit - 1) / kUnit * kUnit;
  }
}

void CheckNext(fl_outbox_t& outbox) {
  fl_entry_t entry;
  std::uint8_t content[kSectorSize];
  const fl_status_t status = fl_outbox_next(&outbox, FL_ENTRY_CHOSEN, &entry);
  Require(status == FL_OK || status == FL_ERR_NOT_FOUND);
  if (status != FL_OK) return;
  Require(entry.size <= sizeof content);
  Require(fl_outbox_read(&outbox, &entry, 0, content, entry.size) == FL_OK);
  Require(fl_outbox_read(&outbox, &entry, entry.size, content, 1) == FL_ERR_ARG);
  Require(fl_outbox_find(&outbox, entry.sequence) == FL_OK);
}

void Append(fl_outbox_t& outbox, std::uint8_t call) {
  static constexpr std::uint8_t kBytes[256] = {};
  const fl_part_t part = {kBytes, call % 4 * std::size_t{80}};
  const auto kind = static_cast<fl_entry_kind_t>(call / 4 % 4 + 1);
  const std::uint32_t live = outbox.live;
  const fl_status_t status = fl_outbox_append(&outbox, kind, 1000U + call, &part, 1);
  Require(status == FL_OK || status == FL_ERR_NO_SPACE || status == FL_ERR_IO);
  if (status == FL_OK) {
    Require(outbox.live <= live + 1 && fl_outbox_find(&outbox, 1000U + call) == FL_OK);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Area area;
  if (size < 1 + kCalls) return 0;
  const std::uint8_t* calls = data + 1;
  area.bytes.fill(0xff);
  std::memcpy(area.bytes.data(), data + 1 + kCalls,
              std::min<std::size_t>(size - 1 - kCalls, Area::kSize));
  for (std::uint32_t i = 0; i < kSectors; ++i) {
    if ((data[0] >> i & 1U) != 0) Repair(area.bytes.data() + i * std::size_t{kSectorSize});
  }
  const fl_flash_t flash = area.Area();
  fl_outbox_t outbox;
  Require(fl_outbox_mount(&outbox, &flash) == FL_OK);
  for (std::size_t i = 0; i < kCalls; ++i) {
    CheckNext(outbox);
    if (calls[i] < 0x80) {
      Append(outbox, calls[i]);
    } else if (calls[i] < 0xc0) {
      fl_entry_t entry;
      if (fl_outbox_next(&outbox, FL_ENTRY_CHOSEN, &entry) == FL_OK) {
        Require(fl_outbox_done(&outbox, entry.sequence) == FL_OK);
      }
    } else if (calls[i] < 0xe0) {
      const std::uint32_t live = outbox.live;
      // Fewer if sectors of the input share a number: a copy takes the place of all of them.
      Require(fl_outbox_mount(&outbox, &flash) == FL_OK && outbox.live <= live);
    }
  }
  return 0;
}
