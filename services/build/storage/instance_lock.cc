// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/storage/instance_lock.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/file.h>

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kNameBytes = 32;

}  // namespace

InstanceLock::InstanceLock(int file, std::string name) : file_(file), name_(std::move(name)) {}

InstanceLock::~InstanceLock() { close(file_); }

absl::StatusOr<std::unique_ptr<InstanceLock>> InstanceLock::Acquire(const std::string& data_dir) {
  std::error_code error;
  std::filesystem::create_directories(data_dir, error);
  const std::string path = data_dir + "/instance";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    close(file);
    return absl::UnavailableError(absl::StrCat("another process uses ", data_dir));
  }
  std::string name(kNameBytes, '\0');
  const ssize_t got = pread(file, name.data(), name.size(), 0);
  if (got != static_cast<ssize_t>(kNameBytes)) {
    name = ToHex(RandomBytes(kNameBytes / 2));
    if (pwrite(file, name.data(), name.size(), 0) != static_cast<ssize_t>(kNameBytes) ||
        fsync(file) != 0) {
      const int reason = errno;
      close(file);
      return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(reason)));
    }
  }
  return std::unique_ptr<InstanceLock>(new InstanceLock(file, std::move(name)));
}

}  // namespace fieldloop::build
