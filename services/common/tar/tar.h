// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_TAR_TAR_H_
#define FIELDLOOP_SERVICES_COMMON_TAR_TAR_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// Archives of regular files as a stream of bytes, in the ustar format of POSIX.1-2001
// (https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html). The same files make the
// same bytes: owner, time and mode are constant.

// Writes an archive to a sink, whose errors it returns.
class TarWriter {
 public:
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;

  // `sink` must outlive this object.
  explicit TarWriter(Sink sink) : sink_(sink) {}

  // Begins a file of `size` bytes, up to 8 GiB - 1. INVALID_ARGUMENT if the name is not one that
  // TarReader takes, or the size is out of range.
  absl::Status Begin(absl::string_view name, std::int64_t size);
  // The next bytes of the file that was begun. INVALID_ARGUMENT beyond its size.
  absl::Status Append(absl::string_view data);
  // A whole file.
  absl::Status Add(absl::string_view name, absl::string_view content);
  // Adds the file at `path`. UNAVAILABLE if it cannot be read.
  absl::Status AddFile(absl::string_view name, const std::string& path);
  // Ends the archive. INVALID_ARGUMENT if a file is not whole.
  absl::Status Finish();

 private:
  absl::Status Pad();

  Sink sink_;
  std::int64_t size_ = 0;  // Of the file that was begun.
  std::int64_t left_ = 0;  // Of it.
};

// Reads an archive that comes in pieces of any size. It is taken from others: a name is 1 to 99
// characters of [A-Za-z0-9._-] and does not begin with a dot, so that it names a file in a folder
// and nothing else; only regular files are taken.
class TarReader {
 public:
  // Called when a file begins, then with its bytes. Their errors end the reading.
  struct Sinks {
    std::function<absl::Status(absl::string_view name, std::int64_t size)> begin;
    std::function<absl::Status(absl::string_view data)> data;
  };
  explicit TarReader(Sinks sinks) : sinks_(std::move(sinks)) {}

  // INVALID_ARGUMENT if it is not such an archive.
  absl::Status Take(absl::string_view piece);
  // INVALID_ARGUMENT if the archive is not whole.
  absl::Status Finish() const;

 private:
  absl::Status TakeHeader();

  const Sinks sinks_;
  std::string header_;
  std::int64_t left_ = 0;     // Bytes of the file that are to come.
  std::int64_t padding_ = 0;  // Bytes behind it that are to come.
  bool ended_ = false;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_TAR_TAR_H_
