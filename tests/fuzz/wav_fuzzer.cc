// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// A WAV file, read as a recording.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/recording_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fieldloop::testing::CheckRecording(fieldloop::ingestion::SampleFormat::kWav, data, size);
  return 0;
}
