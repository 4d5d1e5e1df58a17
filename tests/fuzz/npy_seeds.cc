// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// First inputs of the .npy fuzzer: arrays of both types and both dimensions, and headers as others
// write them.
#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/fuzz/seed_file.h"
#include "tests/services/common/npy/npy_bytes.h"

int main(int argc, char** argv) {
  using fieldloop::NpyBytes;
  using fieldloop::NpyFile;
  using fieldloop::testing::WriteSeed;
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  WriteSeed(folder, "floats", NpyBytes<float>(2, 3, {1, 2, 3, 4, 5, 6}));
  WriteSeed(folder, "integers", NpyBytes<std::int32_t>(3, 0, {7, -8, 9}));
  WriteSeed(folder, "no_rows", NpyBytes<float>(0, 300, {}));
  WriteSeed(folder, "order",
            NpyFile(R"({"shape":(2,),"fortran_order":False,"descr":"<f4"})", std::string(8, '\0')));
  WriteSeed(
      folder, "hostile",
      NpyFile("{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", ""));
  return 0;
}
