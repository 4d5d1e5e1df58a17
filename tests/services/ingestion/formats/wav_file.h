// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_WAV_FILE_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_WAV_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace fieldloop::ingestion {

// A PCM file of 16 bit: a header of 44 bytes, then the samples.
inline std::string WavFile(int channels, int frequency_hz,
                           const std::vector<std::int16_t>& samples) {
  std::string file;
  const auto number = [&file](std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      file += static_cast<char>(value >> (8 * i) & 0xff);
    }
  };
  const auto size = static_cast<std::uint32_t>(samples.size() * 2);
  const auto block = static_cast<std::uint32_t>(channels * 2);
  file += "RIFF";
  number(36 + size, 4);
  file += "WAVEfmt ";
  number(16, 4);
  number(1, 2);
  number(static_cast<std::uint32_t>(channels), 2);
  number(static_cast<std::uint32_t>(frequency_hz), 4);
  number(static_cast<std::uint32_t>(frequency_hz) * block, 4);
  number(block, 2);
  number(16, 2);
  file += "data";
  number(size, 4);
  for (const std::int16_t sample : samples) {
    number(static_cast<std::uint16_t>(sample), 2);
  }
  return file;
}

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_WAV_FILE_H_
