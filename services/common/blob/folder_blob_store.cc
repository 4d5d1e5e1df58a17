// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "services/common/blob/blob_packs.h"
#include "services/common/blob/blob_store.h"
#include "services/common/blob/file.h"
#include "services/common/blob/folder_blob_reader.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/sha256_hex.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/group_commit.h"

namespace fieldloop {
namespace {

// Blobs that are put whole go into packs up to this size; others get a file of their own.
constexpr std::size_t kMaxPackedBytes = 1 << 20;

std::string FolderIn(const std::string& root, absl::string_view digest) {
  return absl::StrCat(root, "/", digest.substr(0, 2));
}
std::string PathIn(const std::string& root, absl::string_view digest) {
  return absl::StrCat(FolderIn(root, digest), "/", digest.substr(2));
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

  absl::Status Append(absl::string_view data) {
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

  // Ends the content.
  const BlobInfo& Seal() {
    if (info_.digest.empty()) {
      info_.digest = ToHex(hash_.Finish());
    }
    return info_;
  }

  // Gives the sealed blob its name.
  absl::Status Name(const std::string& root) {
    const std::string path = PathIn(root, info_.digest);
    if (::rename(temporary_.c_str(), path.c_str()) != 0) {
      return FileError("rename", temporary_, errno);
    }
    temporary_.clear();
    return absl::OkStatus();
  }

  int descriptor() const { return file_.get(); }
  const BlobInfo& info() const { return info_; }

 private:
  NewBlob(std::string temporary, int descriptor)
      : temporary_(std::move(temporary)), file_(descriptor) {}

  std::string temporary_;  // Empty once it has its final name.
  File file_;
  Sha256 hash_;
  BlobInfo info_;
};

using NewBlobs = std::vector<std::unique_ptr<NewBlob>>;

// Syncs sealed blobs, names them, syncs the names.
absl::Status Commit(const std::string& root, DiskSync& disk, const NewBlobs& blobs) {
  std::vector<int> descriptors;
  for (const auto& blob : blobs) {
    descriptors.push_back(blob->descriptor());
  }
  FIELDLOOP_RETURN_IF_ERROR(disk.Sync(std::move(descriptors)));
  std::vector<std::unique_ptr<File>> folders;
  descriptors.clear();
  for (const auto& blob : blobs) {
    FIELDLOOP_RETURN_IF_ERROR(blob->Name(root));
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<File> folder,
                               OpenFolder(FolderIn(root, blob->info().digest)));
    descriptors.push_back(folder->get());
    folders.push_back(std::move(folder));
  }
  return disk.Sync(std::move(descriptors));
}

class FolderBlobWriter final : public BlobWriter {
 public:
  FolderBlobWriter(const std::string& root, DiskSync& disk, std::unique_ptr<NewBlob> blob)
      : root_(root), disk_(disk) {
    blob_.push_back(std::move(blob));
  }

  absl::Status Append(absl::string_view data) override { return blob_.front()->Append(data); }

  absl::StatusOr<BlobInfo> Commit() override {
    blob_.front()->Seal();
    FIELDLOOP_RETURN_IF_ERROR(::fieldloop::Commit(root_, disk_, blob_));
    return blob_.front()->info();
  }

 private:
  const std::string& root_;
  DiskSync& disk_;
  NewBlobs blob_;
};

class FolderBlobStore final : public BlobStore {
 public:
  FolderBlobStore(std::string root, std::unique_ptr<BlobPacks> packs, bool read_only)
      : root_(std::move(root)), disk_(root_), packs_(std::move(packs)), read_only_(read_only) {}

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create() override {
    FIELDLOOP_RETURN_IF_ERROR(CheckWritable());
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<NewBlob> blob, NewBlob::Create(root_));
    return std::make_unique<FolderBlobWriter>(root_, disk_, std::move(blob));
  }

  absl::StatusOr<std::vector<BlobInfo>> PutAll(const std::vector<BlobContent>& contents) override {
    FIELDLOOP_RETURN_IF_ERROR(CheckWritable());
    std::vector<BlobInfo> infos;
    NewBlobs large;
    std::vector<BlobPacks::Blob> packed;
    for (const BlobContent& content : contents) {
      if (content.data.size() > kMaxPackedBytes) {
        FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<NewBlob> blob, NewBlob::Create(root_));
        FIELDLOOP_RETURN_IF_ERROR(blob->Append(content.data));
        infos.push_back(blob->Seal());
        large.push_back(std::move(blob));
        continue;
      }
      std::string digest;
      if (content.digest.empty()) {
        digest = Sha256Of(content.data);
      } else {
        FIELDLOOP_ASSIGN_OR_RETURN(digest, FromHex(content.digest));
      }
      infos.push_back(
          {.digest = ToHex(digest), .size_bytes = static_cast<std::int64_t>(content.data.size())});
      packed.push_back({.digest = std::move(digest), .data = content.data});
    }
    if (!large.empty()) {
      FIELDLOOP_RETURN_IF_ERROR(Commit(root_, disk_, large));
    }
    FIELDLOOP_RETURN_IF_ERROR(packs_->Put(packed));
    return infos;
  }

  absl::Status Read(absl::string_view digest, std::int64_t piece_bytes,
                    absl::FunctionRef<absl::Status(absl::string_view)> sink) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobPacks::Place place, Open(digest));
    Sha256 hash;
    std::string piece;
    for (std::int64_t at = 0; at < place.size; at += static_cast<std::int64_t>(piece.size())) {
      FIELDLOOP_RETURN_IF_ERROR(
          ReadPiece(place, at, std::min(piece_bytes, place.size - at), piece));
      if (piece.empty()) {
        break;  // It is shorter than it was.
      }
      hash.Update(piece);
      FIELDLOOP_RETURN_IF_ERROR(sink(piece));
    }
    if (ToHex(hash.Finish()) != digest) {
      return absl::DataLossError(absl::StrCat("blob ", digest, " does not have its digest"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadRange(absl::string_view digest, std::int64_t offset,
                                        std::int64_t length) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobPacks::Place place, Open(digest));
    const std::int64_t there = std::max<std::int64_t>(0, place.size - offset);
    std::string piece;
    FIELDLOOP_RETURN_IF_ERROR(ReadPiece(place, offset, std::min(length, there), piece));
    return piece;
  }

  absl::StatusOr<bool> Exists(absl::string_view digest) override {
    const absl::Status status = Open(digest).status();
    if (absl::IsNotFound(status)) {
      return false;
    }
    FIELDLOOP_RETURN_IF_ERROR(status);
    return true;
  }

  absl::Status Delete(absl::string_view digest) override {
    FIELDLOOP_RETURN_IF_ERROR(CheckWritable());
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string path, PathOf(digest));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return FileError("delete", path, errno);
    }
    return packs_->Delete(*FromHex(digest));
  }

  absl::Status ForEach(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) override {
    FIELDLOOP_RETURN_IF_ERROR(ForEachFile(sink));
    return packs_->ForEach(
        [&](absl::string_view digest, absl::Time written) { return sink(ToHex(digest), written); });
  }

 private:
  absl::Status CheckWritable() const {
    return read_only_
               ? absl::FailedPreconditionError(absl::StrCat(root_, " was opened to be read only"))
               : absl::OkStatus();
  }

  absl::Status ForEachFile(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) {
    std::error_code error;
    std::filesystem::directory_iterator folder(root_, error);
    for (; !error && folder != std::filesystem::directory_iterator(); folder.increment(error)) {
      const std::string start = folder->path().filename().string();
      if (start.size() != 2) {
        continue;  // "tmp" and "packs".
      }
      std::error_code failed;
      std::filesystem::directory_iterator file(folder->path(), failed);
      for (; !failed && file != std::filesystem::directory_iterator(); file.increment(failed)) {
        const std::string digest = start + file->path().filename().string();
        struct stat status = {};
        if (IsSha256Hex(digest) && ::stat(file->path().c_str(), &status) == 0) {
          FIELDLOOP_RETURN_IF_ERROR(sink(digest, absl::TimeFromTimespec(status.st_mtim)));
        }
      }
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot list ", root_, ": ", error.message()));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> PathOf(absl::string_view digest) const {
    if (!IsSha256Hex(digest)) {  // Never let a name from outside become a path.
      return absl::InvalidArgumentError("digest: want 64 lower-case hex digits");
    }
    return PathIn(root_, digest);
  }

  // Opens the file of a blob, or the pack that holds it.
  absl::StatusOr<BlobPacks::Place> Open(absl::string_view digest) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string path, PathOf(digest));
    auto file = std::make_unique<File>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file->get() >= 0) {
      struct stat info {};
      if (::fstat(file->get(), &info) != 0) {
        return FileError("read", path, errno);
      }
      return BlobPacks::Place{.file = std::move(file), .offset = 0, .size = info.st_size};
    }
    if (errno != ENOENT) {
      return FileError("open", path, errno);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(std::optional<BlobPacks::Place> place,
                               packs_->Find(*FromHex(digest)));
    if (!place.has_value()) {
      return absl::NotFoundError(absl::StrCat("no blob ", digest));
    }
    return *std::move(place);
  }

  // Reads `length` bytes of a blob from `at` into `piece`, fewer if its file ends early.
  absl::Status ReadPiece(const BlobPacks::Place& place, std::int64_t at, std::int64_t length,
                         std::string& piece) const {
    piece.resize(static_cast<std::size_t>(length));
    std::size_t filled = 0;
    while (filled < piece.size()) {
      const ssize_t got = ::pread(place.file->get(), piece.data() + filled, piece.size() - filled,
                                  place.offset + at + static_cast<std::int64_t>(filled));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return FileError("read a blob in", root_, errno);
      }
      if (got == 0) {
        break;
      }
      filled += static_cast<std::size_t>(got);
    }
    piece.resize(filled);
    return absl::OkStatus();
  }

  const std::string root_;
  DiskSync disk_;
  const std::unique_ptr<BlobPacks> packs_;
  const bool read_only_;
};

// Makes the folders that blobs lie in; their names last from then on.
absl::Status MakeFolders(const std::string& root) {
  std::error_code error;
  // What a crash left half-written has no name and no reader.
  std::filesystem::remove_all(root + "/tmp", error);
  std::filesystem::create_directories(root + "/tmp", error);
  for (int i = 0; i < 256 && !error; ++i) {
    const char byte = static_cast<char>(i);
    std::filesystem::create_directory(FolderIn(root, ToHex(absl::string_view(&byte, 1))), error);
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make the folders in ", root, ": ", error.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolderBlobStore(const std::string& root) {
  FIELDLOOP_RETURN_IF_ERROR(MakeFolders(root));
  FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<BlobPacks> packs, BlobPacks::Open(root + "/packs"));
  return std::make_unique<FolderBlobStore>(root, std::move(packs), /*read_only=*/false);
}

absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolderBlobReader(const std::string& root) {
  if (std::error_code error; !std::filesystem::is_directory(root, error)) {
    return absl::NotFoundError(absl::StrCat("there is no folder ", root));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<BlobPacks> packs,
                             BlobPacks::OpenToRead(root + "/packs"));
  return std::make_unique<FolderBlobStore>(root, std::move(packs), /*read_only=*/true);
}

}  // namespace fieldloop
