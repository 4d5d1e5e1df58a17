// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace fieldloop {

File::~File() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; free some space and repeat"));
  }
  return absl::UnavailableError(message);
}

absl::StatusOr<std::unique_ptr<File>> OpenFolder(const std::string& path) {
  auto folder = std::make_unique<File>(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder->get() < 0) {
    return FileError("open", path, errno);
  }
  return folder;
}

}  // namespace fieldloop
