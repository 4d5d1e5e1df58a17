// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "tests/faults/flash_model.h"

#include <algorithm>
#include <cstring>

namespace fieldloop::faults {
namespace {

constexpr int kNothing = 0;
constexpr int kEverything = 1;
constexpr int kProgramWays = 14;
constexpr int kEraseWays = 13;
constexpr int kWriteBackWays = 12;
constexpr int kBootloaderWays = 2;  // Before and after: a trailer has one unit for each.

constexpr const char* kAreaNames[kAreas] = {"state",           "outbox",   "slot 0",
                                            "slot 1",          "identity", "configuration 0",
                                            "configuration 1", "firmware"};

// Sets or clears one of the bits in which the byte ranges differ; false if there are none.
bool DifferingBit(const uint8_t* a, const uint8_t* b, size_t size, Random& random, size_t* at,
                  uint8_t* mask) {
  constexpr size_t kBlock = 64;
  const size_t start = random.Next() % size;
  for (size_t i = 0; i < size; ++i) {
    const size_t index = (start + i) % size;
    if (index + kBlock <= size && std::memcmp(a + index, b + index, kBlock) == 0) {
      i += kBlock - 1;
      continue;
    }
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

uint64_t FlashModel::Page::Hash() const {
  return Hasher()
      .Add(bytes.data(), bytes.size())
      .Add(units.data(), units.size())
      .Add(unstable.data(), unstable.size())
      .Get();
}

uint64_t FlashModel::Sector::Hash() const {
  Hasher hasher;
  for (const Shared<Page>& page : pages) hasher.Add(page.Hash());
  return hasher.Add(weak ? 1 : 0).Get();
}

bool FlashModel::Sector::Unstable() const {
  return std::any_of(pages.begin(), pages.end(),
                     [](const Shared<Page>& page) { return !page->unstable.empty(); });
}

uint64_t FlashModel::Pending::Hash() const {
  Hasher hasher;
  for (const Write& write : writes) {
    hasher.Add(write.kind).Add(write.offset).Add(write.data.data(), write.data.size());
  }
  return hasher.Get();
}

uint64_t FlashModel::Bootloader::Hash() const {
  return Hasher().Add(image).Add(pending ? 1 : 0).Add(on_trial ? 1 : 0).Get();
}

uint64_t FlashModel::Hash() const {
  Hasher hasher;
  bool unstable = false;
  for (const AreaState& area : areas_) {
    for (const Shared<Sector>& sector : area.sectors) {
      if (sector.Is(blank_)) {
        hasher.Add(1);
        continue;
      }
      hasher.Add(sector.Hash());
      unstable = unstable || sector->Unstable();
    }
    if (!geometry_.write_back) continue;
    for (const Shared<Sector>& sector : area.durable) hasher.Add(sector.Hash());
    hasher.Add(area.pending.Hash());
  }
  // How bits that have not settled will read matters only where there are some.
  if (unstable) hasher.Add(random_.state());
  if (dead_area_ < kAreas) {
    hasher.Add(dead_area_).Add(dead_sector_).Add(IsDead(dead_area_, dead_sector_) ? 1 : 0);
  }
  return hasher.Add(bootloader_.Hash()).Add(breach_).Get();
}

FlashModel::FlashModel(const Geometry& geometry) : geometry_(geometry) {
  Page page;
  page.bytes.fill(geometry.erased);
  page.units.fill(kErased);
  blank_.Change().pages.assign(geometry.sector / kPage, Shared<Page>(page));
}

void FlashModel::AddSectors(uint32_t area, uint32_t count) {
  AreaState& state = areas_[area];
  state.sectors.insert(state.sectors.end(), count, blank_);
  if (geometry_.write_back) state.durable = state.sectors;
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

bool FlashModel::HasContent(uint32_t area, uint32_t offset) const {
  const Sector& sector = *areas_[area].sectors[offset / geometry_.sector];
  const size_t page = offset % geometry_.sector / kPage;
  return !sector.pages[page].Is(blank_->pages[page]);
}

void FlashModel::FlipBit(uint32_t area, uint32_t offset, int bit) {
  Shared<Sector>& sector = areas_[area].sectors[offset / geometry_.sector];
  const uint32_t at = offset % geometry_.sector;
  sector.Change().pages[at / kPage].Change().bytes[at % kPage] ^= static_cast<uint8_t>(1u << bit);
  if (geometry_.write_back) areas_[area].durable[offset / geometry_.sector] = sector;
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
  if (fails_again_ || (fail_read_in_ != 0 && --fail_read_in_ == 0)) {
    fails_again_ = !fails_again_;
    return FL_ERR_IO;
  }
  while (size > 0) {
    const uint32_t index = offset / geometry_.sector;
    const uint32_t start = offset % geometry_.sector;
    const size_t part = std::min<size_t>(size, geometry_.sector - start);
    if (IsDead(area, index)) return FL_ERR_IO;
    const Sector& sector = *areas_[area].sectors[index];
    for (size_t done = 0; done < part;) {
      const Page& page = *sector.pages[(start + done) / kPage];
      const size_t in_page = (start + done) % kPage;
      const size_t size_here = std::min(part - done, kPage - in_page);
      if (page.unreadable &&
          std::any_of(page.units.begin() + static_cast<long>(in_page / geometry_.unit),
                      page.units.begin() +
                          static_cast<long>((in_page + size_here - 1) / geometry_.unit + 1),
                      [](uint8_t state) { return state == kUnreadable; })) {
        return FL_ERR_IO;
      }
      std::memcpy(to + done, page.bytes.data() + in_page, size_here);
      for (size_t i = 0; !page.unstable.empty() && i < size_here; ++i) {
        const uint8_t bits = page.unstable[in_page + i];
        if (bits != 0) to[done + i] ^= static_cast<uint8_t>(bits & random_.Byte());
      }
      done += size_here;
    }
    to += part;
    offset += static_cast<uint32_t>(part);
    size -= part;
  }
  return FL_OK;
}

FlashModel::Flat FlashModel::Take(const Sector& sector, uint32_t offset, size_t size) const {
  Flat flat;
  flat.bytes.resize(size);
  flat.unstable.assign(size, 0);
  flat.units.resize(size / geometry_.unit);
  for (size_t done = 0; done < size;) {
    const Page& page = *sector.pages[(offset + done) / kPage];
    const size_t start = (offset + done) % kPage;
    const size_t part = std::min(size - done, kPage - start);
    std::memcpy(flat.bytes.data() + done, page.bytes.data() + start, part);
    if (!page.unstable.empty()) {
      std::memcpy(flat.unstable.data() + done, page.unstable.data() + start, part);
    }
    std::memcpy(flat.units.data() + done / geometry_.unit,
                page.units.data() + start / geometry_.unit, part / geometry_.unit);
    done += part;
  }
  return flat;
}

void FlashModel::Put(Shared<Sector>& shared, uint32_t offset, const Flat& flat) const {
  Sector& sector = shared.Change();
  const auto all = [](const uint8_t* at, size_t size, uint8_t value) {
    return std::all_of(at, at + size, [value](uint8_t byte) { return byte == value; });
  };
  for (size_t done = 0; done < flat.bytes.size();) {
    const size_t index = (offset + done) / kPage;
    const size_t start = (offset + done) % kPage;
    const size_t part = std::min(flat.bytes.size() - done, kPage - start);
    const uint8_t* bytes = flat.bytes.data() + done;
    const uint8_t* unstable = flat.unstable.data() + done;
    const uint8_t* units = flat.units.data() + done / geometry_.unit;
    done += part;
    const bool stable = all(unstable, part, 0);
    if (part == kPage && stable && all(bytes, part, geometry_.erased) &&
        all(units, part / geometry_.unit, kErased)) {
      sector.pages[index] = blank_->pages[index];
      continue;
    }
    Page& page = sector.pages[index].Change();
    std::memcpy(page.bytes.data() + start, bytes, part);
    std::memcpy(page.units.data() + start / geometry_.unit, units, part / geometry_.unit);
    page.unreadable = std::memchr(page.units.data(), kUnreadable, kPage) != nullptr;
    if (!stable && page.unstable.empty()) page.unstable.assign(kPage, 0);
    if (page.unstable.empty()) continue;
    std::memcpy(page.unstable.data() + start, unstable, part);
    if (all(page.unstable.data(), kPage, 0)) page.unstable.clear();
  }
}

void FlashModel::ApplyProgram(Shared<Sector>& shared, uint32_t offset, const uint8_t* src,
                              size_t size) const {
  Flat flat = Take(*shared, offset, size);
  for (size_t i = 0; i < size; ++i) {
    uint8_t& byte = flat.bytes[i];
    // Programming moves bits away from erased only; a file is overwritten.
    byte = geometry_.write_back    ? src[i]
           : geometry_.erased == 0 ? static_cast<uint8_t>(byte | src[i])
                                   : static_cast<uint8_t>(byte & src[i]);
  }
  std::fill(flat.unstable.begin(), flat.unstable.end(), 0);
  std::fill(flat.units.begin(), flat.units.end(), kProgrammed);
  Put(shared, offset, flat);
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
  if (dead_for_writes_ && IsDead(area, offset / geometry_.sector)) return FL_ERR_IO;
  Shared<Sector>& sector = areas_[area].sectors[offset / geometry_.sector];
  const bool all_opposite = std::all_of(src, src + size, [this](uint8_t byte) {
    return byte == static_cast<uint8_t>(~geometry_.erased);
  });
  if (sector->weak && !all_opposite)
    Breach(operation, "is programmed after an erase that was cut short");
  for (size_t at = start; at < start + size; at += geometry_.unit) {
    const uint8_t state = sector->pages[at / kPage]->units[at % kPage / geometry_.unit];
    if (state == kProgrammed || (state != kErased && !all_opposite)) {
      Breach(operation, state != kProgrammed ? "a unit whose program was cut is programmed again"
                                             : "a unit is programmed twice");
      break;
    }
  }
  ApplyProgram(sector, start, src, size);
  if (geometry_.write_back) {
    areas_[area].pending.Change().writes.push_back(
        {Operation::kProgram, offset, {src, src + size}});
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
  if (dead_for_writes_ && IsDead(area, offset / geometry_.sector)) return FL_ERR_IO;
  Shared<Sector>& sector = areas_[area].sectors[offset / geometry_.sector];
  if (Ignored()) {
    // The agent cannot know: what it owes is counted as if it had been erased.
    sector.Change().weak = false;
    for (Shared<Page>& page : sector.Change().pages) page.Change().units.fill(kErased);
    return FL_OK;
  }
  sector = blank_;
  if (geometry_.write_back) {
    areas_[area].pending.Change().writes.push_back({Operation::kErase, offset, {}});
  }
  return FL_OK;
}

fl_status_t FlashModel::Sync(uint32_t area) {
  AreaState& state = areas_[area];
  if (state.pending->writes.empty()) return FL_OK;
  if (observer_.at != nullptr) {
    observer_.at->BeforeOperation({Operation::kSync, area, 0, nullptr, 0});
  }
  ++operations_;
  state.durable = state.sectors;
  state.pending = {};
  return FL_OK;
}

void FlashModel::SetFirmware(const std::string& image) {
  Bootloader& bootloader = bootloader_.Change();
  bootloader = {};
  bootloader.image = image;
}

void FlashModel::StartBootloader(const std::vector<std::string>& known_images) {
  if (!bootloader_->pending && !bootloader_->on_trial) return;
  Bootloader& bootloader = bootloader_.Change();
  const bool forward = bootloader.pending;
  bootloader.pending = bootloader.on_trial = false;
  std::string next(SizeOf(kFirmware), '\0');
  // What it cannot read it does not swap in.
  if (Read(kFirmware, 0, next.data(), next.size()) != FL_OK) return;
  const auto known =
      std::find_if(known_images.begin(), known_images.end(), [&](const std::string& image) {
        return !image.empty() && next.compare(0, image.size(), image) == 0;
      });
  if (known == known_images.end()) {
    if (breach_.empty()) breach_ = "firmware: an image that is not whole is to be swapped in";
    return;
  }
  for (uint32_t offset = 0; offset < SizeOf(kFirmware); offset += geometry_.sector) {
    areas_[kFirmware].sectors[offset / geometry_.sector] = blank_;
  }
  for (uint32_t offset = 0; offset < bootloader.image.size(); offset += geometry_.sector) {
    std::string part = bootloader.image.substr(offset, geometry_.sector);
    part.resize((part.size() + geometry_.unit - 1) / geometry_.unit * geometry_.unit,
                static_cast<char>(geometry_.erased));
    ApplyProgram(areas_[kFirmware].sectors[offset / geometry_.sector], 0,
                 reinterpret_cast<const uint8_t*>(part.data()), part.size());
  }
  if (geometry_.write_back) areas_[kFirmware].durable = areas_[kFirmware].sectors;
  bootloader.image = *known;
  bootloader.on_trial = forward;
}

void FlashModel::ApplyToBootloader(Operation::Kind kind) {
  Bootloader& bootloader = bootloader_.Change();
  if (kind == Operation::kRequestSwap) bootloader.pending = true;
  if (kind == Operation::kConfirm) bootloader.on_trial = false;
}

fl_status_t FlashModel::RequestSwap() {
  if (observer_.at != nullptr) {
    observer_.at->BeforeOperation({Operation::kRequestSwap, kFirmware, 0, nullptr, 0});
  }
  ++operations_;
  if (!Ignored()) ApplyToBootloader(Operation::kRequestSwap);
  return FL_OK;
}

fl_status_t FlashModel::ConfirmFirmware() {
  if (observer_.at != nullptr) {
    observer_.at->BeforeOperation({Operation::kConfirm, kFirmware, 0, nullptr, 0});
  }
  ++operations_;
  if (!Ignored()) ApplyToBootloader(Operation::kConfirm);
  return FL_OK;
}

int FlashModel::WaysToCut(const Operation& operation) const {
  if (geometry_.write_back) return kWriteBackWays;
  if (operation.kind == Operation::kRequestSwap || operation.kind == Operation::kConfirm) {
    return kBootloaderWays;
  }
  return operation.kind == Operation::kErase ? kEraseWays : kProgramWays;
}

// Leaves the units of a program in one of several mixtures of done, not done and in between.
void FlashModel::TearProgram(Shared<Sector>& shared, uint32_t offset, const uint8_t* src,
                             size_t size, int way, Random& random) const {
  const uint32_t unit = geometry_.unit;
  const auto count = static_cast<uint32_t>(size / unit);
  const Flat before = Take(*shared, offset, size);
  Shared<Sector> written = shared;
  ApplyProgram(written, offset, src, size);
  const Flat after = Take(*written, offset, size);
  Flat torn_flat = before;

  const auto done = [&](uint32_t from, uint32_t to) {
    if (to <= from) return;
    std::copy(after.bytes.begin() + from * unit, after.bytes.begin() + to * unit,
              torn_flat.bytes.begin() + from * unit);
    std::fill(torn_flat.unstable.begin() + from * unit, torn_flat.unstable.begin() + to * unit, 0);
    std::fill(torn_flat.units.begin() + from, torn_flat.units.begin() + to, kProgrammed);
  };
  const auto torn = [&](uint32_t index) { torn_flat.units[index] = kTorn; };
  const auto bits = [&](uint32_t index) { return torn_flat.bytes.data() + index * unit; };
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
      torn_flat.unstable[index * unit + i] = bits(index)[i] ^ src[index * unit + i];
    }
  };
  const auto but_one_bit = [&](uint32_t index, bool settled) {
    size_t at = 0;
    uint8_t mask = 0;
    const std::vector<uint8_t> old(bits(index), bits(index) + unit);
    done(index, index + 1);
    torn(index);
    if (!DifferingBit(old.data(), bits(index), unit, random, &at, &mask)) return;
    if (settled) {
      bits(index)[at] ^= mask;
    } else {
      torn_flat.unstable[index * unit + at] = mask;
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
    case 13:
      done(0, count / 2), torn_flat.units[count / 2] = kUnreadable;
      break;
    default:
      done(0, last), torn(last);
      break;
  }
  Put(shared, offset, torn_flat);
}

void FlashModel::TearErase(Shared<Sector>& shared, int way, Random& random) const {
  const uint32_t size = geometry_.sector;
  Flat sector = Take(*shared, 0, size);
  const std::vector<uint8_t> erased(size, geometry_.erased);
  std::fill(sector.unstable.begin(), sector.unstable.end(), 0);
  const auto erase = [&](uint32_t from, uint32_t to) {
    std::memset(sector.bytes.data() + from, geometry_.erased, to - from);
  };
  size_t at = 0;
  uint8_t mask = 0;
  const bool changes = DifferingBit(sector.bytes.data(), erased.data(), size, random, &at, &mask);
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
      for (uint32_t i = 0; i < size; ++i) sector.unstable[i] = sector.bytes[i] ^ geometry_.erased;
      break;
    case 9:
      erase(FL_PROGRAM_SIZE_MAX, size);
      break;
    case 10:
      erase(0, geometry_.unit);
      break;
    case 12:
      std::fill(sector.units.begin(), sector.units.end(), kUnreadable);
      break;
    default:  // All but one bit, which has not settled.
      erase(0, size);
      if (changes) sector.unstable[at] = mask;
      break;
  }
  Put(shared, 0, sector);
  shared.Change().weak = true;
}

void FlashModel::Apply(std::vector<Shared<Sector>>& sectors, const Write& write, int tear,
                       Random& random) const {
  Shared<Sector>& sector = sectors[write.offset / geometry_.sector];
  const uint32_t start = write.offset % geometry_.sector;
  if (write.kind == Operation::kErase) {
    if (tear == kEverything) {
      sector = blank_;
    } else {
      TearErase(sector, tear, random);
    }
  } else if (tear == kEverything) {
    ApplyProgram(sector, start, write.data.data(), write.data.size());
  } else {
    TearProgram(sector, start, write.data.data(), write.data.size(), tear, random);
  }
}

void FlashModel::Cut(const Operation& operation, int way) {
  Random random(Hasher()
                    .Add(Hash())
                    .Add(operation.kind)
                    .Add(operation.area)
                    .Add(operation.offset)
                    .Add(operation.data, operation.data == nullptr ? 0 : operation.size)
                    .Add(static_cast<uint64_t>(way))
                    .Get());
  random_ = Random(random.Next());
  if (geometry_.write_back) {
    CutWriteBack(operation, way, random);
    return;
  }
  if (way == kNothing) return;
  if (operation.kind == Operation::kRequestSwap || operation.kind == Operation::kConfirm) {
    ApplyToBootloader(operation.kind);
    return;
  }
  Write write = {operation.kind, operation.offset, {}};
  if (operation.data != nullptr) {
    write.data.assign(operation.data, operation.data + operation.size);
  }
  Apply(areas_[operation.area].sectors, write, way, random);
}

// Of what was not synced any part may have become durable, in any order, and in part.
void FlashModel::CutWriteBack(const Operation& operation, int way, Random& random) {
  if ((operation.kind == Operation::kRequestSwap || operation.kind == Operation::kConfirm) &&
      way % 2 != 0) {
    ApplyToBootloader(operation.kind);
  }
  for (uint32_t area = 0; area < kAreas; ++area) {
    AreaState& state = areas_[area];
    const bool here = area == operation.area;
    std::vector<Write> pending = state.pending->writes;
    if (here && operation.kind == Operation::kErase) {
      pending.push_back({operation.kind, operation.offset, {}});
    } else if (here && operation.kind == Operation::kProgram) {
      pending.push_back(
          {operation.kind, operation.offset, {operation.data, operation.data + operation.size}});
    }
    if (pending.empty()) continue;
    state.sectors = state.durable;
    for (size_t i = 0; i < pending.size(); ++i) {
      const bool last = i + 1 == pending.size();
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
          if (here && last) tear = way == 9 ? 3 : pending[i].kind == Operation::kErase ? 4 : 10;
          break;
        case 11:
          tear = 2 + static_cast<int>(random.Next() % 10);
          break;
        default:
          break;
      }
      if (take) Apply(state.sectors, pending[i], tear, random);
    }
    state.pending = {};
    // A file has no weak places: what was torn is anything, and may be written over.
    for (Shared<Sector>& sector : state.sectors) {
      if (sector->weak) sector.Change().weak = false;
    }
    state.durable = state.sectors;
  }
}

}  // namespace fieldloop::faults
