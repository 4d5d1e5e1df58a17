// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/blob_journal.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr std::size_t kDigestBytes = 32;

struct RecordHeader {
  std::uint64_t epoch = 0;
  std::uint64_t size = 0;
  char digest[kDigestBytes] = {};
};
static_assert(sizeof(RecordHeader) == 48);

absl::Status JournalError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; free some space and repeat"));
  }
  return absl::UnavailableError(message);
}

std::uint64_t NewEpoch() {
  std::uint64_t epoch = 0;
  std::memcpy(&epoch, RandomBytes(sizeof epoch).data(), sizeof epoch);
  return epoch;
}

// Calls `restore` for the entries of a journal's bytes.
absl::Status Replay(absl::string_view bytes,
                    const std::function<absl::Status(const BlobJournal::Entry&)>& restore) {
  std::uint64_t epoch = 0;
  for (bool first = true; bytes.size() >= sizeof(RecordHeader); first = false) {
    RecordHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    bytes.remove_prefix(sizeof header);
    if (first) {
      epoch = header.epoch;
    }
    if (header.epoch != epoch || header.size > bytes.size()) {
      break;
    }
    const absl::string_view data = bytes.substr(0, header.size);
    const absl::string_view digest(header.digest, kDigestBytes);
    if (Sha256Of(data) != digest) {
      break;
    }
    FIELDLOOP_RETURN_IF_ERROR(restore({.digest = digest, .data = data}));
    bytes.remove_prefix(header.size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobJournal>> BlobJournal::Create(const std::string& folder) {
  std::string path = absl::StrCat(folder, "/", ToHex(RandomBytes(16)));
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0) {
    return JournalError("create", path, errno);
  }
  std::unique_ptr<BlobJournal> journal(new BlobJournal(std::move(path), descriptor));
  const int parent = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool good =
      ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && parent >= 0 && ::fsync(parent) == 0;
  const int error = errno;
  ::close(parent);
  if (!good) {
    return JournalError("lock", journal->path_, error);
  }
  return journal;
}

BlobJournal::BlobJournal(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor), epoch_(NewEpoch()) {}

BlobJournal::~BlobJournal() {
  if (end_ == 0) {
    ::unlink(path_.c_str());
  }
  ::close(descriptor_);
}

absl::Status BlobJournal::Recover(const std::string& folder,
                                  const std::function<absl::Status(const Entry&)>& restore,
                                  const std::function<absl::Status()>& sync) {
  std::error_code error;
  for (const auto& found : std::filesystem::directory_iterator(folder, error)) {
    const std::string path = found.path().string();
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
      return JournalError("open", path, errno);
    }
    const absl::Cleanup close = [descriptor] { ::close(descriptor); };
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      continue;  // Its process lives.
    }
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) {
      return JournalError("read", path, errno);
    }
    if (const auto size = static_cast<std::size_t>(info.st_size); size > 0) {
      void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
      if (start == MAP_FAILED) {
        return JournalError("read", path, errno);
      }
      const absl::Cleanup unmap = [start, size] { ::munmap(start, size); };
      FIELDLOOP_RETURN_IF_ERROR(
          Replay(absl::string_view(static_cast<const char*>(start), size), restore));
      FIELDLOOP_RETURN_IF_ERROR(sync());
    }
    ::unlink(path.c_str());
  }
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot read ", folder, ": ", error.message()));
  }
  return absl::OkStatus();
}

absl::Status BlobJournal::Append(const std::vector<Entry>& entries) {
  std::string bytes;
  for (const Entry& entry : entries) {
    RecordHeader header{.epoch = epoch_, .size = entry.data.size()};
    std::memcpy(header.digest, entry.digest.data(), kDigestBytes);
    bytes.append(reinterpret_cast<const char*>(&header), sizeof header);
    bytes.append(entry.data.data(), entry.data.size());
  }
  std::int64_t at = end_;
  for (absl::string_view rest = bytes; !rest.empty();) {
    const ssize_t written = ::pwrite(descriptor_, rest.data(), rest.size(), at);
    if (written < 0 && errno != EINTR) {
      return JournalError("write", path_, errno);
    }
    if (written > 0) {
      at += written;
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  if (::fdatasync(descriptor_) != 0) {
    return JournalError("sync", path_, errno);
  }
  end_ = at;
  return absl::OkStatus();
}

void BlobJournal::Restart() {
  end_ = 0;
  epoch_ = NewEpoch();
}

}  // namespace fieldloop
