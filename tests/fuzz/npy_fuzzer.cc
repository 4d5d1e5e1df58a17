// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// A .npy file, read as floats and as integers.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "services/common/npy/npy_array.h"

namespace {

// What parses has as many values as its shape says.
template <typename T>
void Parse(absl::string_view content) {
  const auto array = fieldloop::ParseNpy<T>(content);
  if (array.ok() && array->rows() * array->columns() != array->values.size()) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::string_view content(reinterpret_cast<const char*>(data), size);
  Parse<float>(content);
  Parse<std::int32_t>(content);
  return 0;
}
