// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The records in flash: state, root and identity. The first byte says which, and whether the rest
// is the bytes of two sectors as they are, or the body of a record whose checksum is right.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "agent/ports/common/identity_store.h"
#include "agent/src/state_record.h"
#include "agent/src/trust.h"
#include "fieldloop_agent/record.h"
#include "tests/fuzz/agent_device.h"

namespace {

using fieldloop::fuzz::Flash;
using fieldloop::fuzz::Require;

using Area = Flash<4, 1280>;

// What loads is saved and loads again as it was.
void TryState(const fl_flash_t& flash) {
  fl_agent_t agent = {};
  if (fl_state_load(&flash, &agent) != FL_OK) return;
  const fl_state_t& state = agent.state;
  const fl_kept_t& kept = agent.kept;
  for (const fl_component_t& component : kept.active) {
    Require(component.slot <= 1 || component.slot == FL_SLOT_NONE);
  }
  Require(state.phase <= FL_PHASE_REVERTING && state.refused_count <= FIELDLOOP_AGENT_REFUSED_MAX);
  Require(std::memchr(kept.release.rollout.id, '\0', sizeof kept.release.rollout.id) != nullptr);
  Require(std::memchr(kept.report.rollout.id, '\0', sizeof kept.report.rollout.id) != nullptr);
  fl_agent_t again = {};
  Require(fl_state_save(&flash, &agent) == FL_OK && fl_state_load(&flash, &again) == FL_OK);
  Require(again.state.boot_count == state.boot_count && again.state.plan_used == state.plan_used &&
          again.kept.confirmed_sequence == kept.confirmed_sequence);
}

void TryRoot(const fl_flash_t& flash) {
  std::uint8_t bytes[FL_PB(SignedDocument_size)];
  std::size_t size = 0;
  fl_root_t root;
  if (fl_record_load(&flash, 2, bytes, sizeof bytes, &size) != FL_OK) return;
  Require(size <= sizeof bytes);
  const fl_slice_t document = {bytes, size};
  static_cast<void>(fl_trust_open_root(&document, &root));
}

void TryIdentity(const fl_flash_t& flash) {
  static fl_identity_store_t store;
  std::uint8_t key[FL_IDENTITY_KEY_SIZE];
  if (fl_identity_store_open(&store, &flash) != FL_OK) return;
  const std::uint8_t* end = store.buffer + sizeof store.buffer;
  if (store.key != nullptr) {
    Require(store.key >= store.buffer && store.key + FL_IDENTITY_KEY_SIZE <= end);
    Require(store.certificate_size <= static_cast<std::size_t>(end - store.certificate));
    Require(store.issuer_size <= static_cast<std::size_t>(end - store.issuer));
  }
  static_cast<void>(fl_identity_store_pending(&store, key));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Area area;
  if (size == 0) return 0;
  const std::uint8_t mode = data[0];
  const std::uint32_t first = mode % 3 == 1 ? 2 : 0;
  area.bytes.fill(0xff);
  const fl_flash_t flash = area.Area();
  if ((mode & 0x80) != 0) {
    const std::size_t part = std::min<std::size_t>(size - 1, 2 * flash.sector_size);
    std::memcpy(area.bytes.data() + first * flash.sector_size, data + 1, part);
  } else if (fl_record_save(&flash, first, data + 1, size - 1) != FL_OK) {
    return 0;  // Larger than a sector.
  }
  switch (mode % 3) {
    case 0:
      TryState(flash);
      break;
    case 1:
      TryRoot(flash);
      break;
    default:
      TryIdentity(flash);
      break;
  }
  return 0;
}
