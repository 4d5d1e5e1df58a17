// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; free some space and repeat"));
  }
  return absl::UnavailableError(message);
}

// Closes a file descriptor when it goes out of scope.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

absl::Status SyncFolder(const std::string& path) {
  const File folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) {
    return FileError("sync", path, errno);
  }
  return absl::OkStatus();
}

bool IsDigest(absl::string_view digest) {
  if (digest.size() != 64) {
    return false;
  }
  for (const char c : digest) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) && (c < 'a' || c > 'f')) {
      return false;
    }
  }
  return true;
}

class FolderBlobWriter final : public BlobWriter {
 public:
  FolderBlobWriter(std::string root, std::string temporary, int descriptor)
      : root_(std::move(root)), temporary_(std::move(temporary)), file_(descriptor) {}
  ~FolderBlobWriter() override {
    if (!temporary_.empty()) {
      ::unlink(temporary_.c_str());
    }
  }

  absl::Status Append(absl::string_view data) override {
    hash_.Update(data);
    info_.size_bytes += static_cast<std::int64_t>(data.size());
    while (!data.empty()) {
      const ssize_t written = ::write(file_.get(), data.data(), data.size());
      if (written < 0) {
        if (errno == EINTR) {
          continue;
        }
        return FileError("write", temporary_, errno);
      }
      data.remove_prefix(static_cast<std::size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BlobInfo> Commit() override {
    info_.digest = ToHex(hash_.Finish());
    if (::fsync(file_.get()) != 0) {
      return FileError("sync", temporary_, errno);
    }
    const std::string folder = absl::StrCat(root_, "/", info_.digest.substr(0, 2));
    const std::string path = absl::StrCat(folder, "/", info_.digest.substr(2));
    if (::mkdir(folder.c_str(), 0755) == 0) {
      FIELDLOOP_RETURN_IF_ERROR(SyncFolder(root_));
    } else if (errno != EEXIST) {
      return FileError("make", folder, errno);
    }
    if (::rename(temporary_.c_str(), path.c_str()) != 0) {
      return FileError("rename", temporary_, errno);
    }
    temporary_.clear();
    FIELDLOOP_RETURN_IF_ERROR(SyncFolder(folder));
    return info_;
  }

 private:
  std::string root_;
  std::string temporary_;  // Empty once it has its final name.
  File file_;
  Sha256 hash_;
  BlobInfo info_;
};

class FolderBlobStore final : public BlobStore {
 public:
  explicit FolderBlobStore(std::string root) : root_(std::move(root)) {}

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create() override {
    const std::string temporary = absl::StrCat(root_, "/tmp/", ToHex(RandomBytes(16)));
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0) {
      return FileError("create", temporary, errno);
    }
    return std::make_unique<FolderBlobWriter>(root_, temporary, descriptor);
  }

  absl::Status Read(absl::string_view digest, std::int64_t piece_bytes,
                    absl::FunctionRef<absl::Status(absl::string_view)> sink) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string path, PathOf(digest));
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) {
      return OpenError(digest, path);
    }
    Sha256 hash;
    std::string piece(static_cast<std::size_t>(piece_bytes), '\0');
    for (;;) {
      const ssize_t got = ::read(file.get(), piece.data(), piece.size());
      if (got < 0) {
        if (errno == EINTR) {
          continue;
        }
        return FileError("read", path, errno);
      }
      if (got == 0) {
        break;
      }
      const absl::string_view data(piece.data(), static_cast<std::size_t>(got));
      hash.Update(data);
      FIELDLOOP_RETURN_IF_ERROR(sink(data));
    }
    if (ToHex(hash.Finish()) != digest) {
      return absl::DataLossError(absl::StrCat("blob ", digest, " does not have its digest"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadRange(absl::string_view digest, std::int64_t offset,
                                        std::int64_t length) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string path, PathOf(digest));
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) {
      return OpenError(digest, path);
    }
    std::string data(static_cast<std::size_t>(length), '\0');
    std::size_t filled = 0;
    while (filled < data.size()) {
      const ssize_t got = ::pread(file.get(), data.data() + filled, data.size() - filled,
                                  offset + static_cast<std::int64_t>(filled));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return FileError("read", path, errno);
      }
      if (got == 0) {
        break;
      }
      filled += static_cast<std::size_t>(got);
    }
    data.resize(filled);
    return data;
  }

  absl::StatusOr<bool> Exists(absl::string_view digest) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string path, PathOf(digest));
    return ::access(path.c_str(), F_OK) == 0;
  }

 private:
  absl::StatusOr<std::string> PathOf(absl::string_view digest) const {
    if (!IsDigest(digest)) {  // Never let a name from outside become a path.
      return absl::InvalidArgumentError("digest: want 64 lower-case hex digits");
    }
    return absl::StrCat(root_, "/", digest.substr(0, 2), "/", digest.substr(2));
  }

  static absl::Status OpenError(absl::string_view digest, const std::string& path) {
    if (errno == ENOENT) {
      return absl::NotFoundError(absl::StrCat("no blob ", digest));
    }
    return FileError("open", path, errno);
  }

  std::string root_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolderBlobStore(const std::string& root) {
  std::error_code error;
  // What a crash left half-written has no name and no reader.
  std::filesystem::remove_all(root + "/tmp", error);
  std::filesystem::create_directories(root + "/tmp", error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make folder ", root, "/tmp: ", error.message()));
  }
  return std::make_unique<FolderBlobStore>(root);
}

}  // namespace fieldloop
