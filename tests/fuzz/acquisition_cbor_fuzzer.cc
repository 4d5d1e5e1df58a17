// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// A file of the acquisition format in CBOR, read as a recording.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/recording_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fieldloop::testing::CheckRecording(fieldloop::ingestion::SampleFormat::kCbor, data, size);
  return 0;
}
