// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_AGENT_CORE_SIM_FLASH_H_
#define FIELDLOOP_TESTS_AGENT_CORE_SIM_FLASH_H_

#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <vector>

#include <gtest/gtest.h>

#include "fieldloop_agent/port.h"

namespace fieldloop::agent {

// Power that several areas share. It fails after a number of steps: a byte programmed is a step,
// and so is a sixteenth of an erase.
struct Power {
  static constexpr uint64_t kForever = std::numeric_limits<uint64_t>::max();

  uint64_t steps_left = kForever;
  uint64_t steps_done = 0;
  bool on = true;

  bool Step() {
    if (!on || steps_left == 0) {
      on = false;
      return false;
    }
    if (steps_left != kForever) --steps_left;
    ++steps_done;
    return true;
  }
  void Restore() {
    on = true;
    steps_left = kForever;
  }
};

struct Geometry {
  const char* name;
  uint32_t size;
  uint32_t sector_size;
  uint32_t program_size;
  uint8_t erased_value;

  friend void PrintTo(const Geometry& geometry, std::ostream* os) { *os << geometry.name; }
};

// Flash in memory. The byte at which the power fails is left as garbage, the rest of the range as
// it was. A unit programmed twice without an erase fails the test.
class SimFlash {
 public:
  SimFlash(Power& power, const Geometry& geometry)
      : power_(power), geometry_(geometry), bytes_(geometry.size, geometry.erased_value) {}
  SimFlash(const SimFlash&) = delete;
  SimFlash& operator=(const SimFlash&) = delete;

  fl_flash_t Area() {
    fl_flash_t area = {};
    area.context = this;
    area.size = geometry_.size;
    area.sector_size = geometry_.sector_size;
    area.program_size = geometry_.program_size;
    area.erased_value = geometry_.erased_value;
    area.read = [](void* context, uint32_t offset, void* dst, size_t size) {
      return static_cast<SimFlash*>(context)->Read(offset, dst, size);
    };
    area.program = [](void* context, uint32_t offset, const void* src, size_t size) {
      return static_cast<SimFlash*>(context)->Program(offset, static_cast<const uint8_t*>(src),
                                                      size);
    };
    area.erase = [](void* context, uint32_t offset) {
      return static_cast<SimFlash*>(context)->Erase(offset);
    };
    return area;
  }

  std::vector<uint8_t>& bytes() { return bytes_; }
  int erases() const { return erases_; }
  uint64_t programmed_bytes() const { return programmed_bytes_; }
  // The next reads fail.
  void FailReads(int count) { failing_reads_ = count; }
  // What touches this range cannot be read any more, or not until its sector is erased.
  void KillRange(uint32_t from, uint32_t size, bool until_erased = false) {
    dead_from_ = from;
    dead_to_ = from + size;
    heals_ = until_erased;
  }
  void KillSector(uint32_t sector, bool until_erased = false) {
    KillRange(sector * geometry_.sector_size, geometry_.sector_size, until_erased);
  }
  // Programs report success and do nothing.
  void IgnorePrograms(bool ignore) { ignore_programs_ = ignore; }

 private:
  fl_status_t Read(uint32_t offset, void* dst, size_t size) {
    if (!power_.on || offset + size > bytes_.size()) return FL_ERR_IO;
    if (failing_reads_ > 0) {
      --failing_reads_;
      return FL_ERR_IO;
    }
    if (offset < dead_to_ && offset + size > dead_from_) return FL_ERR_IO;
    std::memcpy(dst, bytes_.data() + offset, size);
    return FL_OK;
  }

  fl_status_t Program(uint32_t offset, const uint8_t* src, size_t size) {
    if (offset % geometry_.program_size != 0 || size % geometry_.program_size != 0 ||
        offset + size > bytes_.size()) {
      ADD_FAILURE() << "program of " << size << " at " << offset << " breaks the geometry";
      return FL_ERR_IO;
    }
    programmed_bytes_ += size;
    for (size_t i = 0; i < size; ++i) {
      uint8_t& byte = bytes_[offset + i];
      if (!power_.Step()) {
        if (!torn_) byte = static_cast<uint8_t>(byte ^ 0x5a);
        torn_ = true;
        return FL_ERR_IO;
      }
      torn_ = false;
      if (ignore_programs_) continue;
      if (byte != geometry_.erased_value) {
        ADD_FAILURE() << "byte " << offset + i << " is programmed without an erase";
      }
      byte = src[i];
    }
    return FL_OK;
  }

  fl_status_t Erase(uint32_t offset) {
    const uint32_t part = geometry_.sector_size / 16;
    if (offset % geometry_.sector_size != 0 || offset >= bytes_.size()) {
      ADD_FAILURE() << "erase at " << offset << " breaks the geometry";
      return FL_ERR_IO;
    }
    ++erases_;
    if (heals_ && offset == dead_from_ / geometry_.sector_size * geometry_.sector_size) {
      dead_to_ = dead_from_ = 0;
    }
    for (uint32_t i = 0; i < 16; ++i) {
      if (!power_.Step()) return FL_ERR_IO;
      std::memset(bytes_.data() + offset + i * part, geometry_.erased_value, part);
    }
    std::memset(bytes_.data() + offset, geometry_.erased_value, geometry_.sector_size);
    return FL_OK;
  }

  Power& power_;
  const Geometry geometry_;
  std::vector<uint8_t> bytes_;
  int erases_ = 0;
  uint64_t programmed_bytes_ = 0;
  int failing_reads_ = 0;
  uint32_t dead_from_ = 0;
  uint32_t dead_to_ = 0;
  bool heals_ = false;
  bool ignore_programs_ = false;
  bool torn_ = false;
};

}  // namespace fieldloop::agent

#endif  // FIELDLOOP_TESTS_AGENT_CORE_SIM_FLASH_H_
