// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/group_commit.h"

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

// Opens a folder to sync it.
absl::StatusOr<std::unique_ptr<File>> OpenFolder(const std::string& path) {
  auto folder = std::make_unique<File>(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder->get() < 0) {
    return FileError("open", path, errno);
  }
  return folder;
}

// Syncs files and folders of one file system, for all threads that ask at the same time together:
// few of them one by one, many by one sync of the file system, which costs little more than one.
class DiskSync {
 public:
  explicit DiskSync(std::string root)
      : root_(std::move(root)),
        group_(kMaxItems, [this](const std::vector<Item*>& items) { SyncGroup(items); }) {}

  absl::Status Sync(std::vector<int> descriptors) {
    Item item{.descriptors = std::move(descriptors), .error = 0};
    group_.Run(item);
    return item.error == 0 ? absl::OkStatus() : FileError("sync a file in", root_, item.error);
  }

 private:
  struct Item {
    std::vector<int> descriptors;
    int error = 0;
  };
  static constexpr std::size_t kMaxItems = 1024;
  static constexpr std::size_t kFewDescriptors = 2;

  void SyncGroup(const std::vector<Item*>& items) {
    std::size_t descriptors = 0;
    for (const Item* item : items) {
      descriptors += item->descriptors.size();
    }
    if (descriptors > kFewDescriptors) {
      const int error = ::syncfs(items.front()->descriptors.front()) == 0 ? 0 : errno;
      for (Item* item : items) {
        item->error = error;
      }
      return;
    }
    for (Item* item : items) {
      for (const int descriptor : item->descriptors) {
        if (::fsync(descriptor) != 0) {
          item->error = errno;
        }
      }
    }
  }

  const std::string root_;
  GroupCommit<Item> group_;
};

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

// A blob on its way to its name.
class NewBlob {
 public:
  static absl::StatusOr<std::unique_ptr<NewBlob>> Create(const std::string& root) {
    std::string temporary = absl::StrCat(root, "/tmp/", ToHex(RandomBytes(16)));
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0) {
      return FileError("create", temporary, errno);
    }
    return std::unique_ptr<NewBlob>(new NewBlob(std::move(temporary), descriptor));
  }

  ~NewBlob() {
    if (!temporary_.empty()) {
      ::unlink(temporary_.c_str());
    }
  }
  NewBlob(const NewBlob&) = delete;
  NewBlob& operator=(const NewBlob&) = delete;

  // Takes a piece.
  absl::Status Append(absl::string_view data) {
    hash_.Update(data);
    return WriteBytes(data);
  }

  // Takes the whole.
  absl::Status Write(const BlobContent& content) {
    info_.digest = content.digest;
    return content.digest.empty() ? Append(content.data) : WriteBytes(content.data);
  }

  // Syncs the blobs, gives them their names and syncs those, all together.
  static absl::StatusOr<std::vector<BlobInfo>> Commit(const std::string& root, DiskSync& disk,
                                                      const std::vector<NewBlob*>& blobs);

 private:
  NewBlob(std::string temporary, int descriptor)
      : temporary_(std::move(temporary)), file_(descriptor) {}

  absl::Status WriteBytes(absl::string_view data) {
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

  std::string temporary_;  // Empty once it has its final name.
  File file_;
  Sha256 hash_;
  BlobInfo info_;
};

absl::StatusOr<std::vector<BlobInfo>> NewBlob::Commit(const std::string& root, DiskSync& disk,
                                                      const std::vector<NewBlob*>& blobs) {
  std::vector<int> files;
  for (const NewBlob* blob : blobs) {
    files.push_back(blob->file_.get());
  }
  FIELDLOOP_RETURN_IF_ERROR(disk.Sync(std::move(files)));
  std::vector<BlobInfo> infos;
  std::vector<std::unique_ptr<File>> folders;
  std::vector<int> to_sync;
  const auto add_folder = [&](const std::string& path) -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<File> folder, OpenFolder(path));
    to_sync.push_back(folder->get());
    folders.push_back(std::move(folder));
    return absl::OkStatus();
  };
  for (NewBlob* blob : blobs) {
    if (blob->info_.digest.empty()) {
      blob->info_.digest = ToHex(blob->hash_.Finish());
    }
    const std::string folder = absl::StrCat(root, "/", blob->info_.digest.substr(0, 2));
    const std::string path = absl::StrCat(folder, "/", blob->info_.digest.substr(2));
    if (::mkdir(folder.c_str(), 0755) == 0) {
      FIELDLOOP_RETURN_IF_ERROR(add_folder(root));
    } else if (errno != EEXIST) {
      return FileError("make", folder, errno);
    }
    if (::rename(blob->temporary_.c_str(), path.c_str()) != 0) {
      return FileError("rename", blob->temporary_, errno);
    }
    blob->temporary_.clear();
    FIELDLOOP_RETURN_IF_ERROR(add_folder(folder));
    infos.push_back(blob->info_);
  }
  FIELDLOOP_RETURN_IF_ERROR(disk.Sync(std::move(to_sync)));
  return infos;
}

class FolderBlobWriter final : public BlobWriter {
 public:
  FolderBlobWriter(std::string root, DiskSync& disk, std::unique_ptr<NewBlob> blob)
      : root_(std::move(root)), disk_(disk), blob_(std::move(blob)) {}

  absl::Status Append(absl::string_view data) override { return blob_->Append(data); }

  absl::StatusOr<BlobInfo> Commit() override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<BlobInfo> infos,
                               NewBlob::Commit(root_, disk_, {blob_.get()}));
    return infos.front();
  }

 private:
  const std::string root_;
  DiskSync& disk_;
  const std::unique_ptr<NewBlob> blob_;
};

class FolderBlobStore final : public BlobStore {
 public:
  explicit FolderBlobStore(const std::string& root) : root_(root), disk_(root) {}

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create() override {
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<NewBlob> blob, NewBlob::Create(root_));
    return std::make_unique<FolderBlobWriter>(root_, disk_, std::move(blob));
  }

  absl::StatusOr<std::vector<BlobInfo>> PutAll(const std::vector<BlobContent>& blobs) override {
    std::vector<std::unique_ptr<NewBlob>> created;
    std::vector<NewBlob*> to_commit;
    for (const BlobContent& content : blobs) {
      FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<NewBlob> blob, NewBlob::Create(root_));
      FIELDLOOP_RETURN_IF_ERROR(blob->Write(content));
      to_commit.push_back(blob.get());
      created.push_back(std::move(blob));
    }
    return NewBlob::Commit(root_, disk_, to_commit);
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

  const std::string root_;
  DiskSync disk_;
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
