// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/npy/npy_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include <sys/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr std::size_t kValueBytes = 4;
constexpr std::size_t kHeaderBytes = 128;  // A multiple of 64, as the format asks.
constexpr std::size_t kPreambleBytes = 10;
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

absl::Status FileError(absl::string_view path) {
  const std::string text = absl::StrCat(path, ": ", std::strerror(errno));
  return errno == ENOSPC || errno == EDQUOT ? absl::ResourceExhaustedError(text)
                                            : absl::InternalError(text);
}

absl::string_view Description(NpyType type) { return type == NpyType::kFloat32 ? "<f4" : "<i4"; }

}  // namespace

NpyWriter::NpyWriter(int file, std::string path, NpyType type, std::size_t columns)
    : file_(file),
      path_(std::move(path)),
      type_(type),
      columns_(columns),
      row_bytes_(kValueBytes * std::max<std::size_t>(columns, 1)) {}

NpyWriter::~NpyWriter() { close(file_); }

absl::StatusOr<std::unique_ptr<NpyWriter>> NpyWriter::Create(const std::string& path, NpyType type,
                                                             std::size_t columns) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) {
    return FileError(path);
  }
  return std::unique_ptr<NpyWriter>(new NpyWriter(file, path, type, columns));
}

absl::Status NpyWriter::WriteAt(const char* data, std::size_t size, std::int64_t offset) {
  while (size > 0) {
    const ssize_t written = pwrite(file_, data, size, offset);
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return FileError(path_);
    }
    data += written;
    size -= static_cast<std::size_t>(written);
    offset += written;
  }
  return absl::OkStatus();
}

absl::Status NpyWriter::Flush() {
  FIELDLOOP_RETURN_IF_ERROR(
      WriteAt(buffer_.data(), buffer_.size(),
              static_cast<std::int64_t>(kHeaderBytes + flushed_rows_ * row_bytes_)));
  buffer_.clear();
  flushed_rows_ = rows_;
  return absl::OkStatus();
}

absl::Status NpyWriter::AppendRow(const void* values) {
  buffer_.append(static_cast<const char*>(values), row_bytes_);
  ++rows_;
  return buffer_.size() >= kBufferBytes ? Flush() : absl::OkStatus();
}

absl::Status NpyWriter::ReadRow(std::size_t row, void* values) {
  FIELDLOOP_RETURN_IF_ERROR(Flush());
  std::size_t done = 0;
  while (done < row_bytes_) {
    const ssize_t got = pread(file_, static_cast<char*>(values) + done, row_bytes_ - done,
                              static_cast<off_t>(kHeaderBytes + row * row_bytes_ + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return FileError(path_);
    }
    done += static_cast<std::size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status NpyWriter::MoveRow(std::size_t from, std::size_t to) {
  std::string row(row_bytes_, '\0');
  FIELDLOOP_RETURN_IF_ERROR(ReadRow(from, row.data()));
  return WriteAt(row.data(), row.size(), static_cast<std::int64_t>(kHeaderBytes + to * row_bytes_));
}

absl::Status NpyWriter::Finish(std::size_t rows) {
  FIELDLOOP_RETURN_IF_ERROR(Flush());
  const std::string shape =
      columns_ == 0 ? absl::StrCat("(", rows, ",)") : absl::StrCat("(", rows, ", ", columns_, ")");
  std::string text = absl::StrCat("{'descr': '", Description(type_),
                                  "', 'fortran_order': False, 'shape': ", shape, ", }");
  const std::size_t text_bytes = kHeaderBytes - kPreambleBytes;
  text.resize(text_bytes - 1, ' ');
  text.push_back('\n');
  std::string header("\x93NUMPY\x01", 7);
  header.push_back('\0');
  header.push_back(static_cast<char>(text_bytes & 0xff));
  header.push_back(static_cast<char>(text_bytes >> 8));
  header += text;
  FIELDLOOP_RETURN_IF_ERROR(WriteAt(header.data(), header.size(), 0));
  if (ftruncate(file_, static_cast<off_t>(kHeaderBytes + rows * row_bytes_)) != 0) {
    return FileError(path_);
  }
  return absl::OkStatus();
}

}  // namespace fieldloop
