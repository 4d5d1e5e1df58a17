// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the WAV fuzzer: every encoding, and the forms that writers of streams leave.
#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/fuzz/seed_file.h"
#include "tests/services/ingestion/formats/wav_file.h"

int main(int argc, char** argv) {
  using fieldloop::ingestion::WavFile;
  using fieldloop::ingestion::WavFileOf;
  using fieldloop::testing::WriteSeed;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  const std::string data(48, '\x41');
  for (const int bits : {8, 16, 24, 32}) {
    WriteSeed(folder, "pcm" + std::to_string(bits), WavFileOf(1, bits, 1, 8000, data));
  }
  for (const int bits : {32, 64}) {
    WriteSeed(folder, "float" + std::to_string(bits), WavFileOf(3, bits, 2, 44100, data));
  }
  std::string file = WavFile(2, 16000, {1, 2, 3, 4, 32767, 32767});
  WriteSeed(folder, "stereo", file);
  file.replace(40, 4, 4, '\xff');
  WriteSeed(folder, "streamed", file);
  file.insert(36, std::string("LIST\x03\0\0\0", 8) + std::string("abc", 4));
  WriteSeed(folder, "list", file);
  return 0;
}
