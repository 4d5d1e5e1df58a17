// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_NPY_NPY_WRITER_H_
#define FIELDLOOP_SERVICES_COMMON_NPY_NPY_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fieldloop {

// The types of elements that are written.
enum class NpyType : std::uint8_t { kFloat32, kInt32 };

// Writes a .npy file (format 1.0, little endian, C order) row by row, so that an array need not fit
// into memory. Not thread-safe.
class NpyWriter {
 public:
  // Every row has `columns` values; 0 makes an array of one dimension. INTERNAL if the file cannot
  // be made; RESOURCE_EXHAUSTED as below.
  static absl::StatusOr<std::unique_ptr<NpyWriter>> Create(const std::string& path, NpyType type,
                                                           std::size_t columns);
  ~NpyWriter();
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

  // Appends one row of 4-byte elements. RESOURCE_EXHAUSTED when the disk is full.
  absl::Status AppendRow(const void* values);
  // Reads a row that was appended, also after Finish if it was kept.
  absl::Status ReadRow(std::size_t row, void* values);
  // Moves row `from` to row `to`, which is at or before it.
  absl::Status MoveRow(std::size_t from, std::size_t to);
  // Cuts the file to its first `rows` rows and writes the header. Call once; no row is appended or
  // moved after it.
  absl::Status Finish(std::size_t rows);

  std::size_t rows() const { return rows_; }

 private:
  NpyWriter(int file, std::string path, NpyType type, std::size_t columns);
  absl::Status Flush();
  absl::Status WriteAt(const char* data, std::size_t size, std::int64_t offset);

  const int file_;
  const std::string path_;
  const NpyType type_;
  const std::size_t columns_;
  const std::size_t row_bytes_;
  std::string buffer_;
  std::size_t rows_ = 0;
  std::size_t flushed_rows_ = 0;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_NPY_NPY_WRITER_H_
