// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/storage/file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/file.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  return error == ENOSPC || error == EDQUOT ? absl::ResourceExhaustedError(message)
                                            : absl::UnavailableError(message);
}

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

bool FileExists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  if (!FileExists(path)) {
    return absl::NotFoundError(absl::StrCat("no file ", path));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return absl::UnavailableError(absl::StrCat("cannot read ", path));
  }
  return text.str();
}

absl::Status WriteSynced(const std::string& path, absl::string_view data, mode_t mode) {
  ::unlink(path.c_str());  // O_EXCL: no file or link of somebody else's gets our key.
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) {
    return FileError("create", path, errno);
  }
  absl::Status status;
  while (!data.empty() && status.ok()) {
    const ssize_t written = ::write(file, data.data(), data.size());
    if (written >= 0) {
      data.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      status = FileError("write", path, errno);
    }
  }
  if (status.ok() && ::fsync(file) != 0) {
    status = FileError("sync", path, errno);
  }
  ::close(file);
  return status;
}

absl::Status RenameSynced(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return FileError("rename", from, errno);
  }
  const std::string folder = FolderOf(to);
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  return synced ? absl::OkStatus() : FileError("sync", folder, error);
}

absl::Status ReplaceFile(const std::string& path, absl::string_view data, mode_t mode) {
  const std::string temporary = path + ".tmp";
  FIELDLOOP_RETURN_IF_ERROR(WriteSynced(temporary, data, mode));
  return RenameSynced(temporary, path);
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? FileError("make folder", path, error.value()) : absl::OkStatus();
}

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return FileError("open", folder, errno);
  }
  FolderLock lock(descriptor);
  while (::flock(descriptor, LOCK_EX) != 0) {
    if (errno != EINTR) {
      return FileError("lock", folder, errno);
    }
  }
  return lock;
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

}  // namespace fieldloop::provisioning
