// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_FILE_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// Closes a file descriptor when it goes out of scope.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// "cannot `what` `path`: ...": RESOURCE_EXHAUSTED when the disk is full, UNAVAILABLE otherwise.
// `error` is an errno.
absl::Status FileError(absl::string_view what, const std::string& path, int error);

// Opens a folder to sync it. UNAVAILABLE.
absl::StatusOr<std::unique_ptr<File>> OpenFolder(const std::string& path);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_FILE_H_
