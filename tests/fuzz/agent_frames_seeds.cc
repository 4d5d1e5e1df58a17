// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the frame fuzzer: conversations, in every situation of a device.
#include <filesystem>
#include <string>

#include "tests/fuzz/agent_scripts.h"
#include "tests/fuzz/seed_file.h"

int main(int argc, char** argv) {
  using namespace fieldloop::fuzz;  // NOLINT(google-build-using-namespace)
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  for (const auto& [name, script] : Scripts()) {
    std::string bytes = Frame(HelloReply().SerializeAsString());
    for (const v1::ServerMessage& message : script) bytes += Frame(message.SerializeAsString());
    for (int situation = 0; situation < AgentDevice::kSituations; ++situation) {
      for (const int how : {0x00, 0x40}) {
        fieldloop::testing::WriteSeed(
            folder, name + " " + std::to_string(situation) + " " + std::to_string(how),
            std::string(1, static_cast<char>(situation | how)) + bytes);
      }
    }
  }
  return 0;
}
