// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the outbox fuzzer: areas that an agent filled, with and without their checksums.
#include <filesystem>
#include <string>

#include "fieldloop_agent/outbox.h"
#include "tests/fuzz/agent_device.h"
#include "tests/fuzz/seed_file.h"

int main(int argc, char** argv) {
  using namespace fieldloop::fuzz;  // NOLINT(google-build-using-namespace)
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  Flash<3, 512, 8> area;
  const fl_flash_t flash = area.Area();
  fl_outbox_t outbox;
  Require(fl_outbox_mount(&outbox, &flash) == FL_OK);
  const std::string content(100, 'c');
  for (std::uint64_t i = 0; i < 24; ++i) {
    const fl_part_t part = {content.data(), static_cast<std::size_t>(i % 5 * 20)};
    static_cast<void>(
        fl_outbox_append(&outbox, static_cast<fl_entry_kind_t>(i % 4 + 1), i + 1, &part, 1));
    if (i % 3 == 2) static_cast<void>(fl_outbox_done(&outbox, i));
    const std::string bytes(reinterpret_cast<const char*>(area.bytes.data()), area.bytes.size());
    const std::string calls = {0x01, '\x90', 0x16, '\xd0', 0x0f, '\x90', 0x2b, '\xd0'};
    if (i % 4 != 3) continue;
    for (const int repaired : {0, 7}) {
      fieldloop::testing::WriteSeed(folder,
                                    std::to_string(i) + (repaired == 0 ? " as it is" : " repaired"),
                                    static_cast<char>(repaired) + calls + bytes);
    }
  }
  return 0;
}
