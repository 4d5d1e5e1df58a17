// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The messages of a server to a whole agent: the input is a byte for AgentDevice::Run(), then for
// each message its field number, the size of its body (2 bytes, little endian) and the body. The
// frames around them are right, and a HelloReply comes first.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/agent_scripts.h"

namespace {

void AppendVarint(std::string& out, std::size_t value) {
  for (; value >= 0x80; value >>= 7U) out.push_back(static_cast<char>(value | 0x80U));
  out.push_back(static_cast<char>(value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fieldloop::fuzz::AgentDevice device;
  static const std::string hello =
      fieldloop::fuzz::Frame(fieldloop::fuzz::HelloReply().SerializeAsString());
  if (size == 0) return 0;
  std::string script = hello;
  for (std::size_t at = 1; size - at >= 3;) {
    const std::size_t number = data[at] % 16 + 1;
    const std::size_t wanted = data[at + 1] | static_cast<std::size_t>(data[at + 2]) << 8U;
    at += 3;
    const std::size_t body_size = std::min({wanted, size - at, std::size_t{2500}});
    std::string message;
    AppendVarint(message, number << 3U | 2U);
    AppendVarint(message, body_size);
    message.append(reinterpret_cast<const char*>(data + at), body_size);
    script += fieldloop::fuzz::Frame(message);
    at += body_size;
  }
  device.Run(data[0], reinterpret_cast<const std::uint8_t*>(script.data()), script.size());
  return 0;
}
