// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FAULTS_MUTATION_H_
#define FIELDLOOP_TESTS_FAULTS_MUTATION_H_

#include <array>
#include <cstdint>
#include <vector>

#include "fieldloop_agent/port.h"
#include "tests/faults/flash_model.h"

namespace fieldloop::faults {

// What is deliberately broken, so that the simulator has to notice it.
enum class Mutation {
  kNone,
  kLateState,  // A record is written when the next one is.
  kLateIdentity,
  kLateOutbox,      // Uplinks are written behind the erase that they should come before.
  kLateSlots,       // The journal of a download runs ahead of the bytes.
  kOneCopyOfState,  // A save erases both copies first.
  kOneCopyOfIdentity,
  kSealFirst,  // A record is sealed before its header is there.
  kNoSync,     // Nothing is made durable.
  kSlotsNotErased,
  kAnySignature,    // Signatures are not looked at.
  kDeadWithoutEnd,  // Where one sector cannot be read the driver reads no other one either.
};

struct NamedMutation {
  Mutation mutation;
  const char* name;
};
const std::vector<NamedMutation>& Mutations();

// Stands between the agent and the flash, and breaks the order of what passes.
class BrokenPort {
 public:
  explicit BrokenPort(Mutation mutation) : mutation_(mutation) {}

  // What the agent is given in place of the area. The port must stay where it is.
  fl_flash_t Wrap(uint32_t area, const fl_flash_t& real);
  // Writes what was held back: an orderly restart.
  void Settle();
  // Of what is held back.
  uint64_t Hash() const;

 private:
  struct Write {
    uint32_t offset;
    std::vector<uint8_t> data;
  };
  struct Layer {
    BrokenPort* port;
    uint32_t area;
    fl_flash_t real;
    std::vector<uint8_t> shadow;  // What the agent believes, while writes are held back.
    std::vector<Write> held;
    bool stuck;  // A read failed.
  };

  bool IsLate(uint32_t area) const;
  static fl_status_t Read(void* context, uint32_t offset, void* dst, size_t size);
  static fl_status_t Program(void* context, uint32_t offset, const void* src, size_t size);
  static fl_status_t Erase(void* context, uint32_t offset);
  static fl_status_t Flush(Layer& layer);

  const Mutation mutation_;
  std::array<Layer, kAreas> layers_;
};

}  // namespace fieldloop::faults

#endif  // FIELDLOOP_TESTS_FAULTS_MUTATION_H_
