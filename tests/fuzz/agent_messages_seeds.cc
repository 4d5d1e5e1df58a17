// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the message fuzzer: the conversations of the frame fuzzer, in its form.
#include <filesystem>
#include <string>

#include "tests/fuzz/agent_scripts.h"
#include "tests/fuzz/seed_file.h"

namespace {

std::string Body(const fieldloop::fuzz::v1::ServerMessage& message) {
  const std::string encoded = message.SerializeAsString();  // Key, size, body.
  std::size_t at = 1;
  while ((static_cast<unsigned char>(encoded[at]) & 0x80U) != 0) ++at;
  return encoded.substr(at + 1);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace fieldloop::fuzz;  // NOLINT(google-build-using-namespace)
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  for (const auto& [name, script] : Scripts()) {
    std::string bytes;
    for (const v1::ServerMessage& message : script) {
      const std::string body = Body(message);
      bytes.push_back(static_cast<char>(message.message_case() - 1));
      bytes.push_back(static_cast<char>(body.size()));
      bytes.push_back(static_cast<char>(body.size() >> 8U));
      bytes += body;
    }
    for (int situation = 0; situation < AgentDevice::kSituations; ++situation) {
      fieldloop::testing::WriteSeed(folder, name + " " + std::to_string(situation),
                                    std::string(1, static_cast<char>(situation | 0x40)) + bytes);
    }
  }
  return 0;
}
