// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the record fuzzer: each record, as a body and as sectors.
#include <cstddef>
#include <filesystem>
#include <string>

#include "agent/ports/common/identity_store.h"
#include "fieldloop_agent/record.h"
#include "tests/fuzz/agent_device.h"
#include "tests/fuzz/seed_file.h"

namespace {

using namespace fieldloop::fuzz;  // NOLINT(google-build-using-namespace)

using Area = Flash<4, 1280>;

void Write(const std::filesystem::path& folder, const std::string& name, int kind, Area& area) {
  const std::size_t first = kind == 1 ? 2 : 0;
  const fl_flash_t flash = area.Area();
  std::string body(flash.sector_size, '\0');
  std::size_t size = 0;
  Require(fl_record_load(&flash, static_cast<std::uint32_t>(first), body.data(), body.size(),
                         &size) == FL_OK);
  body.resize(size);
  fieldloop::testing::WriteSeed(folder, name + " body", static_cast<char>(kind) + body);
  const auto* begin = reinterpret_cast<const char*>(area.bytes.data()) + first * flash.sector_size;
  // The first byte has its highest bit set, and the same remainder.
  const int raw = kind == 0 ? 0x81 : kind == 1 ? 0x82 : 0x80;
  static_assert(0x81 % 3 == 0 && 0x82 % 3 == 1 && 0x80 % 3 == 2);
  fieldloop::testing::WriteSeed(
      folder, name + " sectors",
      static_cast<char>(raw) + std::string(begin, 2 * std::size_t{flash.sector_size}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  Area area;
  const fl_flash_t flash = area.Area();
  fl_agent_t agent = {};
  agent.kept.sequence_limit = 1;
  agent.state.refused_count = 2;
  for (fl_component_t& component : agent.kept.active) component.slot = FL_SLOT_NONE;
  Require(fl_state_save(&flash, &agent) == FL_OK && fl_state_save(&flash, &agent) == FL_OK);
  Write(folder, "state", 0, area);
  const std::string root = SignedRoot(2).SerializeAsString();
  Require(fl_record_save(&flash, 2, root.data(), root.size()) == FL_OK);
  Write(folder, "root", 1, area);
  Area identity;
  const fl_flash_t identity_flash = identity.Area();
  fl_identity_store_t store;
  const std::uint8_t key[FL_IDENTITY_KEY_SIZE] = {1};
  const std::uint8_t certificate[] = "certificate";
  Require(fl_identity_store_open(&store, &identity_flash) == FL_OK);
  Require(fl_identity_store_set_pending(&store, key) == FL_OK);
  Require(fl_identity_store_commit(&store, certificate, sizeof certificate, certificate,
                                   sizeof certificate) == FL_OK);
  Write(folder, "identity", 2, identity);
  return 0;
}
