// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_STORAGE_FILE_H_
#define FIELDLOOP_SERVICES_PROVISIONING_STORAGE_FILE_H_

#include <string>

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop::provisioning {

// Small files that must be whole or absent. Errors are UNAVAILABLE, or RESOURCE_EXHAUSTED when the
// disk is full, and name the path.

bool FileExists(const std::string& path);

// NOT_FOUND.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

// Writes `path`, with this mode and nothing of what was there, and syncs it. A power cut may leave
// a part of it.
absl::Status WriteSynced(const std::string& path, absl::string_view data, mode_t mode);

// Gives a synced file its name, and syncs the folder.
absl::Status RenameSynced(const std::string& from, const std::string& to);

// WriteSynced under a temporary name, then RenameSynced: after a power cut `path` is as before, or
// as wanted.
absl::Status ReplaceFile(const std::string& path, absl::string_view data, mode_t mode);

// Makes the folder and those above it.
absl::Status MakeFolder(const std::string& path);

// Keeps other processes out of a folder while it lives.
class FolderLock {
 public:
  // Waits for the lock.
  static absl::StatusOr<FolderLock> Take(const std::string& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_STORAGE_FILE_H_
