// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_NPY_NPY_ARRAY_H_
#define FIELDLOOP_SERVICES_COMMON_NPY_NPY_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// An array in row-major order.
template <typename T>
struct NpyArray {
  std::vector<std::size_t> shape;  // 1 or 2 dimensions.
  std::vector<T> values;

  std::size_t rows() const { return shape[0]; }
  // Values of a row; 1 for an array of one dimension.
  std::size_t columns() const { return shape.size() == 1 ? 1 : shape[1]; }
  const T* row(std::size_t index) const { return values.data() + index * columns(); }
};

// Parses a NumPy array file, version 1.0, C order, one or two dimensions, whose elements are
// little-endian T (float or std::int32_t) and fill the rest of the file. `content` is not trusted.
//
// INVALID_ARGUMENT says what was found and what was expected.
template <typename T>
absl::StatusOr<NpyArray<T>> ParseNpy(absl::string_view content);

// Reads the file `path`. INVALID_ARGUMENT as ParseNpy, with the file's name before it; NOT_FOUND if
// it cannot be opened; DATA_LOSS if reading breaks off.
template <typename T>
absl::StatusOr<NpyArray<T>> ReadNpy(const std::string& path);

extern template absl::StatusOr<NpyArray<float>> ParseNpy<float>(absl::string_view content);
extern template absl::StatusOr<NpyArray<std::int32_t>> ParseNpy<std::int32_t>(
    absl::string_view content);
extern template absl::StatusOr<NpyArray<float>> ReadNpy<float>(const std::string& path);
extern template absl::StatusOr<NpyArray<std::int32_t>> ReadNpy<std::int32_t>(
    const std::string& path);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_NPY_NPY_ARRAY_H_
