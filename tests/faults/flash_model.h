// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_FLASH_MODEL_H_
#define FIELDLOOP_TESTS_FAULTS_FLASH_MODEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fieldloop_agent/port.h"
#include "tests/faults/shared.h"

namespace fieldloop::faults {

// What the flash of a device is like; all areas are.
struct Geometry {
  uint32_t unit;    // Bytes programmed at once.
  uint32_t sector;  // Bytes erased at once.
  uint8_t erased;
  bool write_back;  // What is not synced may be lost, and not in order.

  std::string Name() const;
};

// splitmix64: everything that is random here is repeatable.
class Random {
 public:
  explicit Random(uint64_t seed = 0) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint8_t Byte() { return static_cast<uint8_t>(Next() >> 56); }
  uint64_t state() const { return state_; }

 private:
  uint64_t state_;
};

enum Area : uint32_t {
  kState,
  kOutbox,
  kSlot0,
  kSlot1,
  kIdentity,
  kConfiguration0,
  kConfiguration1,
  kFirmware,
  kAreas,
};

struct Operation {
  // The last two are of the bootloader's own memory, in area kFirmware.
  enum Kind { kProgram, kErase, kSync, kRequestSwap, kConfirm };
  Kind kind;
  uint32_t area;
  uint32_t offset;
  const uint8_t* data;  // Of a program.
  uint32_t size;
};

// Is told of every operation before it happens; it may copy the flash as it is then.
class FlashObserver {
 public:
  virtual ~FlashObserver() = default;
  virtual void BeforeOperation(const Operation& operation) = 0;
};

// The flash of one device. A copy is a snapshot, and cheap: pages are shared until written.
//
// It checks what the agent owes it (whole units, aligned, programmed once between two erases, no
// program in a sector whose erase was cut short) and models what a power cut leaves: any mixture of
// old and new bits, bits that read differently each time, and, where a checksum of the hardware
// does not fit, nothing that can be read until it is erased. A unit whose program was cut may be
// programmed once more with all its bits opposite to erased, as a port must allow.
class FlashModel {
 public:
  explicit FlashModel(const Geometry& geometry);

  const Geometry& geometry() const { return geometry_; }
  fl_flash_t AreaOf(uint32_t area);
  uint32_t SizeOf(uint32_t area) const;
  void AddSectors(uint32_t area, uint32_t count);

  // --- Faults ---
  // Told of each operation. Not part of a snapshot: a copy has none.
  void Observe(FlashObserver* observer) { observer_.at = observer; }
  // Of this many programs and erases from now, the last one does nothing and says it did. 0: none.
  void IgnoreOperation(uint64_t number) { ignore_in_ = number; }
  // Of this many reads from now, the last one fails, and so does the one behind it. 0: none.
  void FailRead(uint64_t number) { fail_read_in_ = number; }
  // From so many operations from now on this sector cannot be read; or be written, too.
  void KillSector(uint32_t area, uint32_t sector, uint64_t operations, bool writes_too) {
    dead_area_ = area;
    dead_sector_ = sector;
    dead_for_writes_ = writes_too;
    dead_from_ = operations_ + operations;
  }
  void FlipBit(uint32_t area, uint32_t offset, int bit);

  // --- Power cuts ---
  // Ways in which the power can fail at this operation; way 0 is before it, way 1 behind it.
  int WaysToCut(const Operation& operation) const;
  // Leaves the flash as the next start finds it. What is random in that depends on the flash, the
  // operation and the way alone.
  void Cut(const Operation& operation, int way);

  // --- The bootloader: MCUboot's kind, with its trailer and its swap, which a cut does not harm
  // --- At a reset. Images that are not known are not swapped in.
  void StartBootloader(const std::vector<std::string>& known_images);
  fl_status_t RequestSwap();
  fl_status_t ConfirmFirmware();
  void SetFirmware(const std::string& image);
  const std::string& firmware() const { return bootloader_->image; }

  uint64_t operations() const { return operations_; }
  uint64_t reads() const { return reads_; }
  uint64_t erases() const { return erases_; }
  bool ignored() const { return ignored_; }
  // The first breach of the contract; empty for none.
  const std::string& breach() const { return breach_; }
  // Whether anything was written in the page since its sector was erased.
  bool HasContent(uint32_t area, uint32_t offset) const;
  // A fault that has not come yet.
  bool awaits_fault() const { return ignore_in_ != 0 || fail_read_in_ != 0; }
  // Of all that what comes depends on. Equal for what reads, tears and wears alike.
  uint64_t Hash() const;

  static constexpr uint32_t kPage = 2048;

 private:
  enum UnitState : uint8_t { kErased = 0, kProgrammed, kTorn, kUnreadable };
  struct Page {
    std::array<uint8_t, kPage> bytes;
    std::array<uint8_t, kPage> units;  // UnitState of each.
    std::vector<uint8_t> unstable;     // Bits that read as they like; empty for none.
    bool unreadable = false;           // Some units are.
    uint64_t Hash() const;
  };
  struct Sector {
    std::vector<Shared<Page>> pages;
    bool weak = false;  // Its erase was cut short.
    bool Unstable() const;
    uint64_t Hash() const;
  };
  // A stretch of a sector, to be torn.
  struct Flat {
    std::vector<uint8_t> bytes;
    std::vector<uint8_t> unstable;
    std::vector<uint8_t> units;
  };
  struct Write {
    Operation::Kind kind;
    uint32_t offset;
    std::vector<uint8_t> data;
  };
  struct Pending {
    std::vector<Write> writes;
    uint64_t Hash() const;
  };
  struct AreaState {
    std::vector<Shared<Sector>> sectors;
    // With write_back: what a cut falls back to, and what was done since.
    std::vector<Shared<Sector>> durable;
    Shared<Pending> pending;
  };
  struct Bootloader {
    std::string image;  // That runs.
    bool pending = false;
    bool on_trial = false;
    uint64_t Hash() const;
  };
  // A pointer that a copy does not take over.
  struct Observer {
    Observer() = default;
    Observer(const Observer&) {}
    Observer& operator=(const Observer&) {
      at = nullptr;
      return *this;
    }
    FlashObserver* at = nullptr;
  };
  struct AreaContext {
    FlashModel* flash;
    uint32_t area;
  };

  fl_status_t Read(uint32_t area, uint32_t offset, void* dst, size_t size);
  fl_status_t Program(uint32_t area, uint32_t offset, const uint8_t* src, size_t size);
  fl_status_t Erase(uint32_t area, uint32_t offset);
  fl_status_t Sync(uint32_t area);
  bool Ignored();
  bool IsDead(uint32_t area, uint32_t sector) const {
    return area == dead_area_ && sector == dead_sector_ && operations_ >= dead_from_;
  }
  void Breach(const Operation& operation, const std::string& what);
  Flat Take(const Sector& sector, uint32_t offset, size_t size) const;
  // Also whole sectors; pages that are as erased are shared.
  void Put(Shared<Sector>& sector, uint32_t offset, const Flat& flat) const;
  void ApplyProgram(Shared<Sector>& sector, uint32_t offset, const uint8_t* src, size_t size) const;
  void TearProgram(Shared<Sector>& sector, uint32_t offset, const uint8_t* src, size_t size,
                   int way, Random& random) const;
  void TearErase(Shared<Sector>& sector, int way, Random& random) const;
  void CutWriteBack(const Operation& operation, int way, Random& random);
  void Apply(std::vector<Shared<Sector>>& sectors, const Write& write, int tear,
             Random& random) const;
  void ApplyToBootloader(Operation::Kind kind);

  Geometry geometry_;
  std::array<AreaState, kAreas> areas_;
  std::array<AreaContext, kAreas> contexts_{};  // Of this copy once AreaOf() was called.
  Shared<Sector> blank_;
  Shared<Bootloader> bootloader_;
  Observer observer_;
  Random random_{1};
  uint64_t operations_ = 0;
  uint64_t reads_ = 0;
  uint64_t erases_ = 0;
  uint64_t ignore_in_ = 0;
  uint64_t fail_read_in_ = 0;
  bool fails_again_ = false;
  bool ignored_ = false;
  uint32_t dead_area_ = kAreas;  // kAreas: none.
  uint32_t dead_sector_ = 0;
  bool dead_for_writes_ = false;
  uint64_t dead_from_ = 0;  // Of operations_.
  std::string breach_;
};

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_FLASH_MODEL_H_
