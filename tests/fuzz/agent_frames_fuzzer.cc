// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The bytes that a server sends to a whole agent, from the start of a connection on. The first
// byte is for AgentDevice::Run().
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/agent_device.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fieldloop::fuzz::AgentDevice device;
  if (size > 0) device.Run(data[0], data + 1, size - 1);
  return 0;
}
