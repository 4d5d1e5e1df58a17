// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_NPY_FILE_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_NPY_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::build {

// A .npy file (format 1.0, little endian, C order) of rows that all have `columns` values; 0
// columns make a vector. Not thread-safe.
class NpyFile {
 public:
  // `type` is "<f4" or "<i4": both have 4 bytes a value. UNAVAILABLE if the file cannot be made.
  static absl::StatusOr<std::unique_ptr<NpyFile>> Create(const std::string& path,
                                                         absl::string_view type,
                                                         std::size_t columns);
  ~NpyFile();
  NpyFile(const NpyFile&) = delete;
  NpyFile& operator=(const NpyFile&) = delete;

  // Appends one row. RESOURCE_EXHAUSTED when the disk is full.
  absl::Status AppendRow(const void* values);
  // Moves row `from` to row `to`, which is at or before it.
  absl::Status MoveRow(std::size_t from, std::size_t to);
  // Cuts the file to `rows` rows and writes the header. Call once, last.
  absl::Status Finish(std::size_t rows);

  std::size_t rows() const { return rows_; }

 private:
  NpyFile(int file, std::string path, std::string type, std::size_t columns);
  absl::Status Flush();
  absl::Status WriteAt(const char* data, std::size_t size, std::int64_t offset);

  const int file_;
  const std::string path_;
  const std::string type_;
  const std::size_t columns_;
  const std::size_t row_bytes_;
  std::string buffer_;
  std::size_t rows_ = 0;
  std::size_t flushed_rows_ = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_NPY_FILE_H_
