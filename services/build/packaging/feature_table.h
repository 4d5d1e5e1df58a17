// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_PACKAGING_FEATURE_TABLE_H_
#define FIELDLOOP_SERVICES_BUILD_PACKAGING_FEATURE_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace fieldloop::build {

// Features of windows, one row a window.
struct FeatureTable {
  FeatureTable() = default;
  FeatureTable(std::size_t row_count, std::size_t column_count)
      : rows(row_count), columns(column_count), values(row_count * column_count) {}

  float* row(std::size_t index) { return values.data() + index * columns; }
  const float* row(std::size_t index) const { return values.data() + index * columns; }

  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<float> values;
};

// The rows `rows` of a table.
inline FeatureTable TakeRows(const FeatureTable& table, const std::vector<std::size_t>& rows) {
  FeatureTable taken(rows.size(), table.columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy(table.row(rows[i]), table.row(rows[i]) + table.columns, taken.row(i));
  }
  return taken;
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_PACKAGING_FEATURE_TABLE_H_
