// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/flash_model.h"

#include <algorithm>
#include <cstring>

namespace fieldloop::faults {
namespace {

constexpr int kNothing = 0;
constexpr int kEverything = 1;
constexpr int kProgramWays = 13;
constexpr int kEraseWays = 12;
constexpr int kWriteBackWays = 12;

constexpr const char* kAreaNames[kAreas] = {"state", "outbox", "slot 0", "slot 1", "identity"};

// Sets or clears one of the bits in which the byte ranges differ; false if there are none.
bool DifferingBit(const uint8_t* a, const uint8_t* b, size_t size, Random& random, size_t* at,
                  uint8_t* mask) {
  const size_t start = random.Next() % size;
  for (size_t i = 0; i < size; ++i) {
    const size_t index = (start + i) % size;
    const uint8_t differs = a[index] ^ b[index];
    if (differs == 0) continue;
    const int first = static_cast<int>(random.Next() % 8);
    for (int bit = 0; bit < 8; ++bit) {
      const auto candidate = static_cast<uint8_t>(1u << ((first + bit) % 8));
      if ((differs & candidate) == 0) continue;
      *at = index;
      *mask = candidate;
      return true;
    }
  }
  return false;
}

}  // namespace

std::string Geometry::Name() const {
  return "unit " + std::to_string(unit) + ", sector " + std::to_string(sector) +
         (erased == 0 ? ", erased 0x00" : ", erased 0xFF") + (write_back ? ", write-back" : "");
}

FlashModel::FlashModel(const Geometry& geometry)
    : geometry_(geometry), blank_(std::make_shared<Sector>()) {
  blank_->bytes.assign(geometry.sector, geometry.erased);
  blank_->units.assign(geometry.sector / geometry.unit, kErased);
}

void FlashModel::AddSectors(uint32_t area, uint32_t count) {
  areas_[area].sectors.insert(areas_[area].sectors.end(), count, blank_);
  areas_[area].durable = areas_[area].sectors;
}

uint32_t FlashModel::SizeOf(uint32_t area) const {
  return static_cast<uint32_t>(areas_[area].sectors.size()) * geometry_.sector;
}

fl_flash_t FlashModel::AreaOf(uint32_t area) {
  contexts_[area] = {this, area};
  fl_flash_t flash = {};
  flash.context = &contexts_[area];
  flash.size = SizeOf(area);
  flash.sector_size = geometry_.sector;
  flash.program_size = geometry_.unit;
  flash.erased_value = geometry_.erased;
  flash.read = [](void* context, uint32_t offset, void* dst, size_t size) {
    const auto* self = static_cast<AreaContext*>(context);
    return self->flash->Read(self->area, offset, dst, size);
  };
  flash.program = [](void* context, uint32_t offset, const void* src, size_t size) {
    const auto* self = static_cast<AreaContext*>(context);
    return self->flash->Program(self->area, offset, static_cast<const uint8_t*>(src), size);
  };
  flash.erase = [](void* context, uint32_t offset) {
    const auto* self = static_cast<AreaContext*>(context);
    return self->flash->Erase(self->area, offset);
  };
  if (geometry_.write_back) {
    flash.sync = [](void* context) {
      const auto* self = static_cast<AreaContext*>(context);
      return self->flash->Sync(self->area);
    };
  }
  return flash;
}

bool FlashModel::HasContent(uint32_t area, uint32_t sector) const {
  return areas_[area].sectors[sector] != blank_;
}

void FlashModel::FlipBit(uint32_t area, uint32_t offset, int bit) {
  SectorPointer& sector = areas_[area].sectors[offset / geometry_.sector];
  Writable(sector).bytes[offset % geometry_.sector] ^= static_cast<uint8_t>(1u << bit);
  areas_[area].durable[offset / geometry_.sector] = sector;
}

FlashModel::Sector& FlashModel::Writable(SectorPointer& sector) {
  if (sector.use_count() > 1) sector = std::make_shared<Sector>(*sector);
  return *sector;
}

void FlashModel::Breach(const Operation& operation, const std::string& what) {
  if (breach_.empty()) {
    breach_ = std::string(kAreaNames[operation.area]) + ", offset " +
              std::to_string(operation.offset) + ", " + std::to_string(operation.size) +
              " bytes: " + what;
  }
}

bool FlashModel::Ignored() {
  if (ignore_in_ == 0 || --ignore_in_ != 0) return false;
  ignored_ = true;
  return true;
}

fl_status_t FlashModel::Read(uint32_t area, uint32_t offset, void* dst, size_t size) {
  ++reads_;
  auto* to = static_cast<uint8_t*>(dst);
  if (offset > SizeOf(area) || size > SizeOf(area) - offset) {
    Breach({Operation::kProgram, area, offset, nullptr, static_cast<uint32_t>(size)},
           "is read beyond the end");
    return FL_ERR_IO;
  }
  if (fail_read_in_ != 0 && --fail_read_in_ == 0) return FL_ERR_IO;
  while (size > 0) {
    const uint32_t index = offset / geometry_.sector;
    const uint32_t start = offset % geometry_.sector;
    const size_t part = std::min<size_t>(size, geometry_.sector - start);
    if (area == bad_area_ && index == bad_sector_) return FL_ERR_IO;
    const Sector& sector = *areas_[area].sectors[index];
    std::memcpy(to, sector.bytes.data() + start, part);
    if (!sector.unstable.empty()) {
      for (size_t i = 0; i < part; ++i) {
        if (sector.unstable[start + i] != 0)
          to[i] ^= static_cast<uint8_t>(sector.unstable[start + i] & random_.Byte());
      }
    }
    to += part;
    offset += static_cast<uint32_t>(part);
    size -= part;
  }
  return FL_OK;
}

void FlashModel::ApplyProgram(Sector& sector, uint32_t offset, const uint8_t* src,
                              size_t size) const {
  for (size_t i = 0; i < size; ++i) {
    uint8_t& byte = sector.bytes[offset + i];
    // Programming moves bits away from erased only; a file is overwritten.
    byte = geometry_.write_back    ? src[i]
           : geometry_.erased == 0 ? static_cast<uint8_t>(byte | src[i])
                                   : static_cast<uint8_t>(byte & src[i]);
    if (!sector.unstable.empty()) sector.unstable[offset + i] = 0;
  }
  std::fill_n(sector.units.begin() + offset / geometry_.unit, size / geometry_.unit, kProgrammed);
}

fl_status_t FlashModel::Program(uint32_t area, uint32_t offset, const uint8_t* src, size_t size) {
  const Operation operation = {Operation::kProgram, area, offset, src, static_cast<uint32_t>(size)};
  const uint32_t start = offset % geometry_.sector;
  if (size == 0 || offset % geometry_.unit != 0 || size % geometry_.unit != 0 ||
      offset >= SizeOf(area) || size > geometry_.sector - start) {
    Breach(operation, "a program that is not of whole units in one sector");
    return FL_ERR_IO;
  }
  if (observer_.at != nullptr) observer_.at->BeforeOperation(operation);
  ++operations_;
  if (Ignored()) return FL_OK;
  SectorPointer& pointer = areas_[area].sectors[offset / geometry_.sector];
  const bool all_opposite = std::all_of(src, src + size, [this](uint8_t byte) {
    return byte == static_cast<uint8_t>(~geometry_.erased);
  });
  if (pointer->weak && !all_opposite)
    Breach(operation, "is programmed after an erase that was cut short");
  for (uint32_t unit = start / geometry_.unit; unit < (start + size) / geometry_.unit; ++unit) {
    const uint8_t state = pointer->units[unit];
    if (state == kProgrammed || (state == kTorn && !all_opposite)) {
      Breach(operation, state == kTorn ? "a unit whose program was cut is programmed again"
                                       : "a unit is programmed twice");
      break;
    }
  }
  ApplyProgram(Writable(pointer), start, src, size);
  if (geometry_.write_back) {
    areas_[area].pending.push_back({Operation::kProgram, offset, {src, src + size}});
  }
  return FL_OK;
}

fl_status_t FlashModel::Erase(uint32_t area, uint32_t offset) {
  const Operation operation = {Operation::kErase, area, offset, nullptr, geometry_.sector};
  if (offset % geometry_.sector != 0 || offset >= SizeOf(area)) {
    Breach(operation, "an erase that is not of a sector");
    return FL_ERR_IO;
  }
  if (observer_.at != nullptr) observer_.at->BeforeOperation(operation);
  ++operations_;
  ++erases_;
  SectorPointer& pointer = areas_[area].sectors[offset / geometry_.sector];
  if (Ignored()) {
    // The agent cannot know: what it owes is counted as if it had been erased.
    Sector& sector = Writable(pointer);
    std::fill(sector.units.begin(), sector.units.end(), kErased);
    sector.weak = false;
    return FL_OK;
  }
  pointer = blank_;
  if (geometry_.write_back) areas_[area].pending.push_back({Operation::kErase, offset, {}});
  return FL_OK;
}

fl_status_t FlashModel::Sync(uint32_t area) {
  AreaState& state = areas_[area];
  if (observer_.at != nullptr && !state.pending.empty()) {
    observer_.at->BeforeOperation({Operation::kSync, area, 0, nullptr, 0});
  }
  ++operations_;
  state.durable = state.sectors;
  state.pending.clear();
  return FL_OK;
}

int FlashModel::WaysToCut(const Operation& operation) const {
  if (geometry_.write_back) return kWriteBackWays;
  return operation.kind == Operation::kErase ? kEraseWays : kProgramWays;
}

// Leaves the units of a program in one of several mixtures of done, not done and in between.
void FlashModel::TearProgram(Sector& sector, uint32_t offset, const uint8_t* src, size_t size,
                             int way, Random& random) const {
  const uint32_t unit = geometry_.unit;
  const auto count = static_cast<uint32_t>(size / unit);
  if (sector.unstable.empty()) sector.unstable.assign(geometry_.sector, 0);

  const auto done = [&](uint32_t from, uint32_t to) {
    if (to > from)
      ApplyProgram(sector, offset + from * unit, src + from * unit, (to - from) * unit);
  };
  const auto torn = [&](uint32_t index) { sector.units[offset / unit + index] = kTorn; };
  const auto bits = [&](uint32_t index) { return sector.bytes.data() + offset + index * unit; };
  const auto mixed = [&](uint32_t index) {  // Each bit is old or new.
    torn(index);
    for (uint32_t i = 0; i < unit; ++i) {
      uint8_t& byte = bits(index)[i];
      byte ^= static_cast<uint8_t>((byte ^ src[index * unit + i]) & random.Byte());
    }
  };
  const auto half = [&](uint32_t index) {  // Its first half is new.
    torn(index);
    std::memcpy(bits(index), src + index * unit, unit / 2);
    if (unit == 1)
      bits(index)[0] = static_cast<uint8_t>((bits(index)[0] & 0xf0) | (src[index] & 0x0f));
  };
  const auto unstable = [&](uint32_t index) {  // No bit that changes has settled.
    torn(index);
    for (uint32_t i = 0; i < unit; ++i) {
      sector.unstable[offset + index * unit + i] = bits(index)[i] ^ src[index * unit + i];
    }
  };
  const auto but_one_bit = [&](uint32_t index, bool settled) {
    size_t at = 0;
    uint8_t mask = 0;
    const std::vector<uint8_t> before(bits(index), bits(index) + unit);
    done(index, index + 1);
    torn(index);
    if (!DifferingBit(before.data(), bits(index), unit, random, &at, &mask)) return;
    if (settled) {
      bits(index)[at] ^= mask;
    } else {
      sector.unstable[offset + index * unit + at] = mask;
    }
  };

  // The last unit that changes at all: a header ends with bytes that stay erased.
  uint32_t last = count - 1;
  while (last > 0 && std::equal(bits(last), bits(last) + unit, src + last * unit)) --last;
  switch (way) {
    case 2:
      mixed(0);
      break;
    case 3:
      done(0, count / 2), half(count / 2);
      break;
    case 4:
      done(0, last), half(last);
      break;
    case 5:
      done(0, last), but_one_bit(last, true);
      break;
    case 6:
      done(0, last), but_one_bit(last, false);
      break;
    case 7:
      done(0, last), unstable(last);
      break;
    case 8:
      torn(0);
      break;  // Looks erased, and is not.
    case 9:
      done(0, count / 2), unstable(count / 2);
      break;
    case 10:  // Anything, everywhere.
      for (uint32_t i = 0; i < count; ++i) {
        torn(i);
        for (uint32_t k = 0; k < unit; ++k) bits(i)[k] = random.Byte();
      }
      break;
    case 11:  // The last unit came first.
      for (uint32_t i = 0; i < last; ++i) torn(i);
      done(last, last + 1);
      break;
    default:
      done(0, last), torn(last);
      break;
  }
}

void FlashModel::TearErase(SectorPointer& pointer, int way, Random& random) const {
  const SectorPointer before = pointer;
  pointer = std::make_shared<Sector>(*before);
  Sector& sector = *pointer;
  const uint32_t size = geometry_.sector;
  const auto erase = [&](uint32_t from, uint32_t to) {
    std::memset(sector.bytes.data() + from, geometry_.erased, to - from);
  };
  size_t at = 0;
  uint8_t mask = 0;
  const bool changes =
      DifferingBit(before->bytes.data(), blank_->bytes.data(), size, random, &at, &mask);
  sector.weak = true;
  switch (way) {
    case 2:
      erase(0, size / 2);
      break;
    case 3:
      erase(size / 2, size);
      break;
    case 4:  // Each bit is old or erased.
      for (uint8_t& byte : sector.bytes) {
        byte ^= static_cast<uint8_t>((byte ^ geometry_.erased) & random.Byte());
      }
      break;
    case 5:
      erase(0, size);
      break;  // Looks erased, and is not.
    case 6:   // All but one bit.
      erase(0, size);
      if (changes) sector.bytes[at] ^= mask;
      break;
    case 7:  // One bit only.
      if (changes) sector.bytes[at] ^= mask;
      break;
    case 8:  // No bit has settled.
      sector.unstable.assign(size, 0);
      for (uint32_t i = 0; i < size; ++i) sector.unstable[i] = sector.bytes[i] ^ geometry_.erased;
      break;
    case 9:
      erase(FL_PROGRAM_SIZE_MAX, size);
      break;
    case 10:
      erase(0, geometry_.unit);
      break;
    default:  // All but one bit, which has not settled.
      erase(0, size);
      if (changes) {
        sector.unstable.assign(size, 0);
        sector.unstable[at] = mask;
      }
      break;
  }
}

void FlashModel::Apply(std::vector<SectorPointer>& sectors, const Pending& pending, int tear,
                       Random& random) const {
  SectorPointer& pointer = sectors[pending.offset / geometry_.sector];
  if (pending.kind == Operation::kErase) {
    if (tear == kEverything) {
      pointer = blank_;
    } else {
      TearErase(pointer, tear, random);
    }
  } else if (tear == kEverything) {
    ApplyProgram(Writable(pointer), pending.offset % geometry_.sector, pending.data.data(),
                 pending.data.size());
  } else {
    TearProgram(Writable(pointer), pending.offset % geometry_.sector, pending.data.data(),
                pending.data.size(), tear, random);
  }
}

void FlashModel::Cut(const Operation& operation, int way, uint64_t seed) {
  Random random(seed);
  random_ = Random(seed ^ 0x5555);
  if (geometry_.write_back) {
    CutWriteBack(operation, way, random);
    return;
  }
  if (way == kNothing) return;
  SectorPointer& pointer = areas_[operation.area].sectors[operation.offset / geometry_.sector];
  const uint32_t start = operation.offset % geometry_.sector;
  if (operation.kind == Operation::kErase) {
    if (way == kEverything) {
      pointer = blank_;
    } else {
      TearErase(pointer, way, random);
    }
  } else if (way == kEverything) {
    ApplyProgram(Writable(pointer), start, operation.data, operation.size);
  } else {
    TearProgram(Writable(pointer), start, operation.data, operation.size, way, random);
  }
}

// Of what was not synced any part may have become durable, in any order, and in part.
void FlashModel::CutWriteBack(const Operation& operation, int way, Random& random) {
  for (uint32_t area = 0; area < kAreas; ++area) {
    AreaState& state = areas_[area];
    const bool here = area == operation.area;
    if (here && operation.kind == Operation::kErase) {
      state.pending.push_back({operation.kind, operation.offset, {}});
    } else if (here && operation.kind == Operation::kProgram) {
      state.pending.push_back(
          {operation.kind, operation.offset, {operation.data, operation.data + operation.size}});
    }
    state.sectors = state.durable;
    for (size_t i = 0; i < state.pending.size(); ++i) {
      const bool last = i + 1 == state.pending.size();
      const bool coin = (random.Next() & 1) != 0;
      bool take = coin;
      int tear = kEverything;
      switch (way) {
        case kNothing:
          take = false;
          break;
        case kEverything:
          take = true;
          break;
        case 2:
          take = here ? !last : coin;
          break;
        case 3:
          take = here ? last : coin;
          break;
        case 4:
          take = here ? i % 2 == 0 : coin;
          break;
        case 5:
          take = here ? i % 2 == 1 : coin;
          break;
        case 9:
        case 10:
          take = true;
          if (here && last)
            tear = way == 9 ? 3 : state.pending[i].kind == Operation::kErase ? 4 : 10;
          break;
        case 11:
          tear = 2 + static_cast<int>(random.Next() % 10);
          break;
        default:
          break;
      }
      if (take) Apply(state.sectors, state.pending[i], tear, random);
    }
    state.pending.clear();
    state.durable = state.sectors;
    // A file has no weak places: what was torn is anything, and may be written over.
    for (SectorPointer& sector : state.sectors) {
      if (sector->weak) Writable(sector).weak = false;
    }
    state.durable = state.sectors;
  }
}

}  // namespace fieldloop::faults
