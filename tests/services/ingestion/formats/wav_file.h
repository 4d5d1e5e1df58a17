// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_WAV_FILE_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_WAV_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fieldloop::ingestion {

// A file with encoding `code`: a header of 44 bytes, then `data`.
inline std::string WavFileOf(int code, int bits, int channels, int frequency_hz,
                             std::string_view data) {
  std::string file;
  const auto number = [&file](std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
      file += static_cast<char>(value >> (8 * i) & 0xff);
    }
  };
  const auto block = static_cast<std::uint32_t>(channels * bits / 8);
  file += "RIFF";
  number(36 + static_cast<std::uint32_t>(data.size()), 4);
  file += "WAVEfmt ";
  number(16, 4);
  number(static_cast<std::uint32_t>(code), 2);
  number(static_cast<std::uint32_t>(channels), 2);
  number(static_cast<std::uint32_t>(frequency_hz), 4);
  number(static_cast<std::uint32_t>(frequency_hz) * block, 4);
  number(block, 2);
  number(static_cast<std::uint32_t>(bits), 2);
  file += "data";
  number(static_cast<std::uint32_t>(data.size()), 4);
  file += data;
  return file;
}

// A PCM file of 16 bit.
inline std::string WavFile(int channels, int frequency_hz,
                           const std::vector<std::int16_t>& samples) {
  return WavFileOf(
      1, 16, channels, frequency_hz,
      {reinterpret_cast<const char*>(samples.data()), samples.size() * sizeof(std::int16_t)});
}

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_FORMATS_WAV_FILE_H_
