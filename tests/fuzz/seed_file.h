// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_FUZZ_SEED_FILE_H_
#define FIELDLOOP_TESTS_FUZZ_SEED_FILE_H_

#include <filesystem>
#include <fstream>
#include <string>

namespace fieldloop::testing {

// Writes one first input of a fuzzer.
template <typename Bytes>
void WriteSeed(const std::filesystem::path& folder, const std::string& name, const Bytes& bytes) {
  std::ofstream file(folder / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

}  // namespace fieldloop::testing

#endif  // FIELDLOOP_TESTS_FUZZ_SEED_FILE_H_
