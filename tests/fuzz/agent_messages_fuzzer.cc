// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The messages of a server to a whole agent: the input is a byte for AgentDevice::Run(), then for
// each message its field number, the size of its body (2 bytes, little endian) and the body. The
// frames around them are right, and a HelloReply comes first.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/agent_scripts.h"

namespace {

using Device = fieldloop::fuzz::AgentDevice;

constexpr std::size_t kLargestBody = 2500;
constexpr std::size_t kHead = 6;  // Of a frame before the body: length, key, size.

// The conversation, in memory of its own so that no input pays for its growth.
class Script {
 public:
  Script() : hello_(fieldloop::fuzz::Frame(fieldloop::fuzz::HelloReply().SerializeAsString())) {}

  // What a connection begins with.
  void Begin() { bytes_.assign(hello_.begin(), hello_.end()); }

  void Append(std::size_t number, const std::uint8_t* body, std::size_t size) {
    std::uint8_t head[kHead] = {};
    std::size_t at = 2;
    for (std::size_t value : {number << 3U | 2U, size}) {
      for (; value >= 0x80; value >>= 7U) head[at++] = static_cast<std::uint8_t>(value | 0x80U);
      head[at++] = static_cast<std::uint8_t>(value);
    }
    const std::size_t length = at - 2 + size;
    head[0] = static_cast<std::uint8_t>(length >> 8U);
    head[1] = static_cast<std::uint8_t>(length);
    bytes_.insert(bytes_.end(), head, head + at);
    bytes_.insert(bytes_.end(), body, body + size);
  }

  void Run(Device& device, std::uint8_t flags) const {
    device.Run(flags, bytes_.data(), bytes_.size());
  }

 private:
  std::string hello_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Device device;
  static Script script;
  if (size == 0) return 0;
  script.Begin();
  for (std::size_t at = 1; size - at >= 3;) {
    const std::size_t number = data[at] % 16 + 1;
    const std::size_t wanted = data[at + 1] | static_cast<std::size_t>(data[at + 2]) << 8U;
    at += 3;
    const std::size_t body_size = std::min({wanted, size - at, kLargestBody});
    script.Append(number, data + at, body_size);
    at += body_size;
  }
  script.Run(device, data[0]);
  return 0;
}
