// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_COMMON_NPY_NPY_BYTES_H_
#define FIELDLOOP_TESTS_SERVICES_COMMON_NPY_NPY_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// A .npy file of version 1.0 with `header` as its dictionary.
inline std::string NpyFile(absl::string_view header, absl::string_view data) {
  std::string text(header);
  text.append(63 - (10 + text.size()) % 64, ' ');
  text.push_back('\n');
  return absl::StrCat(absl::string_view("\x93NUMPY\x01\x00", 8),
                      std::string(1, static_cast<char>(text.size() % 256)),
                      std::string(1, static_cast<char>(text.size() / 256)), text, data);
}

// An array as NumPy writes it; `columns` 0 makes one dimension.
template <typename T>
std::string NpyBytes(std::size_t rows, std::size_t columns, const std::vector<T>& values) {
  const char* type = std::is_same_v<T, float> ? "<f4" : "<i4";
  const std::string shape =
      columns == 0 ? absl::StrCat("(", rows, ",)") : absl::StrCat("(", rows, ", ", columns, ")");
  return NpyFile(
      absl::StrCat("{'descr': '", type, "', 'fortran_order': False, 'shape': ", shape, ", }"),
      absl::string_view(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
}

}  // namespace fieldloop

#endif  // FIELDLOOP_TESTS_SERVICES_COMMON_NPY_NPY_BYTES_H_
