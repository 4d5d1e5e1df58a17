// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/blob/blob_journal.h"
#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/group_commit.h"

namespace fieldloop {
namespace {

// Blobs that are put together go through the journal up to this size; beyond it writing them twice
// costs more than a second sync.
constexpr std::size_t kJournalledBytes = 64 << 10;

absl::Status FileError(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; free some space and repeat"));
  }
  return absl::UnavailableError(message);
}

std::string FolderIn(const std::string& root, absl::string_view digest) {
  return absl::StrCat(root, "/", digest.substr(0, 2));
}
std::string PathIn(const std::string& root, absl::string_view digest) {
  return absl::StrCat(FolderIn(root, digest), "/", digest.substr(2));
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

using NewBlobs = std::vector<std::unique_ptr<NewBlob>>;

// Makes blobs last, each way for all threads that ask at the same time together.
class BlobCommitter {
 public:
  BlobCommitter(std::string root, std::unique_ptr<BlobJournal> journal)
      : root_(std::move(root)),
        disk_(root_),
        journal_(std::move(journal)),
        journalled_(kMaxItems, [this](const std::vector<Item*>& items) { CommitItems(items); }) {}

  ~BlobCommitter() { EmptyJournal(); }
  BlobCommitter(const BlobCommitter&) = delete;
  BlobCommitter& operator=(const BlobCommitter&) = delete;

  // For blobs of any size: syncs them, names them, syncs the names.
  absl::Status Commit(const NewBlobs& blobs) {
    std::vector<int> descriptors;
    for (const auto& blob : blobs) {
      blob->Seal();
      descriptors.push_back(blob->descriptor());
    }
    FIELDLOOP_RETURN_IF_ERROR(disk_.Sync(std::move(descriptors)));
    std::vector<std::unique_ptr<File>> folders;
    descriptors.clear();
    for (const auto& blob : blobs) {
      FIELDLOOP_RETURN_IF_ERROR(blob->Name(root_));
      FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<File> folder,
                                 OpenFolder(FolderIn(root_, blob->info().digest)));
      descriptors.push_back(folder->get());
      folders.push_back(std::move(folder));
    }
    return disk_.Sync(std::move(descriptors));
  }

  // For small blobs, whose `contents` are these: syncs the journal alone.
  absl::Status CommitSmall(const NewBlobs& blobs, const std::vector<BlobContent>& contents) {
    Item item{.blobs = blobs, .contents = contents, .status = absl::OkStatus()};
    for (const auto& blob : blobs) {
      blob->Seal();
    }
    journalled_.Run(item);
    return item.status;
  }

 private:
  struct Item {
    const NewBlobs& blobs;
    const std::vector<BlobContent>& contents;
    absl::Status status;
  };
  static constexpr std::size_t kMaxItems = 256;
  static constexpr std::int64_t kMaxJournalBytes = 64 << 20;

  void CommitItems(const std::vector<Item*>& items) {
    std::vector<std::string> digests;
    std::vector<BlobJournal::Entry> entries;
    for (const Item* item : items) {
      for (std::size_t i = 0; i < item->blobs.size(); ++i) {
        digests.push_back(*FromHex(item->blobs[i]->info().digest));
        entries.push_back({.digest = "", .data = item->contents[i].data});
      }
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i].digest = digests[i];
    }
    const absl::Status status = journal_->Append(entries);
    for (Item* item : items) {
      item->status = status;
      for (std::size_t i = 0; item->status.ok() && i < item->blobs.size(); ++i) {
        item->status = item->blobs[i]->Name(root_);
      }
    }
    if (journal_->size_bytes() > kMaxJournalBytes) {
      EmptyJournal();
    }
  }

  // A sync that fails leaves the journal as it is; the next one tries again.
  void EmptyJournal() {
    const absl::StatusOr<std::unique_ptr<File>> folder = OpenFolder(root_);
    if (folder.ok() && ::syncfs((*folder)->get()) == 0) {
      journal_->Restart();
    }
  }

  const std::string root_;
  DiskSync disk_;
  const std::unique_ptr<BlobJournal> journal_;
  GroupCommit<Item> journalled_;
};

class FolderBlobWriter final : public BlobWriter {
 public:
  FolderBlobWriter(BlobCommitter& committer, std::unique_ptr<NewBlob> blob)
      : committer_(committer) {
    blob_.push_back(std::move(blob));
  }

  absl::Status Append(absl::string_view data) override { return blob_.front()->Append(data); }

  absl::StatusOr<BlobInfo> Commit() override {
    FIELDLOOP_RETURN_IF_ERROR(committer_.Commit(blob_));
    return blob_.front()->info();
  }

 private:
  BlobCommitter& committer_;
  NewBlobs blob_;
};

class FolderBlobStore final : public BlobStore {
 public:
  FolderBlobStore(std::string root, std::unique_ptr<BlobJournal> journal)
      : root_(std::move(root)), committer_(root_, std::move(journal)) {}

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create() override {
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<NewBlob> blob, NewBlob::Create(root_));
    return std::make_unique<FolderBlobWriter>(committer_, std::move(blob));
  }

  absl::StatusOr<std::vector<BlobInfo>> PutAll(const std::vector<BlobContent>& contents) override {
    NewBlobs blobs;
    std::size_t bytes = 0;
    for (const BlobContent& content : contents) {
      FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<NewBlob> blob, NewBlob::Create(root_));
      FIELDLOOP_RETURN_IF_ERROR(blob->Write(content));
      bytes += content.data.size();
      blobs.push_back(std::move(blob));
    }
    FIELDLOOP_RETURN_IF_ERROR(bytes <= kJournalledBytes ? committer_.CommitSmall(blobs, contents)
                                                        : committer_.Commit(blobs));
    std::vector<BlobInfo> infos;
    for (const auto& blob : blobs) {
      infos.push_back(blob->info());
    }
    return infos;
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

  absl::Status Delete(absl::string_view digest) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string path, PathOf(digest));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return FileError("delete", path, errno);
    }
    return absl::OkStatus();
  }

  absl::Status ForEach(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) override {
    std::error_code error;
    std::filesystem::directory_iterator folder(root_, error);
    for (; !error && folder != std::filesystem::directory_iterator(); folder.increment(error)) {
      const std::string start = folder->path().filename().string();
      if (start.size() != 2) {
        continue;  // "tmp".
      }
      std::error_code failed;
      std::filesystem::directory_iterator file(folder->path(), failed);
      for (; !failed && file != std::filesystem::directory_iterator(); file.increment(failed)) {
        const std::string digest = start + file->path().filename().string();
        struct stat status = {};
        if (IsDigest(digest) && ::stat(file->path().c_str(), &status) == 0) {
          FIELDLOOP_RETURN_IF_ERROR(sink(digest, absl::TimeFromTimespec(status.st_mtim)));
        }
      }
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot list ", root_, ": ", error.message()));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::string> PathOf(absl::string_view digest) const {
    if (!IsDigest(digest)) {  // Never let a name from outside become a path.
      return absl::InvalidArgumentError("digest: want 64 lower-case hex digits");
    }
    return PathIn(root_, digest);
  }

  static absl::Status OpenError(absl::string_view digest, const std::string& path) {
    if (errno == ENOENT) {
      return absl::NotFoundError(absl::StrCat("no blob ", digest));
    }
    return FileError("open", path, errno);
  }

  const std::string root_;
  BlobCommitter committer_;
};

// Makes the folders that blobs lie in; their names last from then on.
absl::Status MakeFolders(const std::string& root) {
  std::error_code error;
  // What a crash left half-written has no name and no reader.
  std::filesystem::remove_all(root + "/tmp", error);
  std::filesystem::create_directories(root + "/tmp", error);
  std::filesystem::create_directories(root + "/journal", error);
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

// Makes the files of a crashed process's journal again, where they are not whole.
absl::Status RecoverJournals(const std::string& root) {
  const auto restore = [&root](const BlobJournal::Entry& entry) -> absl::Status {
    const std::string digest = ToHex(entry.digest);
    std::ifstream file(PathIn(root, digest), std::ios::binary);
    const std::string there{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (there == entry.data) {
      return absl::OkStatus();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<NewBlob> blob, NewBlob::Create(root));
    FIELDLOOP_RETURN_IF_ERROR(blob->Write({.data = entry.data, .digest = digest}));
    return blob->Name(root);
  };
  const auto sync = [&root]() -> absl::Status {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<File> folder, OpenFolder(root));
    return ::syncfs(folder->get()) == 0 ? absl::OkStatus() : FileError("sync", root, errno);
  };
  return BlobJournal::Recover(root + "/journal", restore, sync);
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolderBlobStore(const std::string& root) {
  FIELDLOOP_RETURN_IF_ERROR(MakeFolders(root));
  FIELDLOOP_RETURN_IF_ERROR(RecoverJournals(root));
  FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<BlobJournal> journal,
                             BlobJournal::Create(root + "/journal"));
  return std::make_unique<FolderBlobStore>(root, std::move(journal));
}

}  // namespace fieldloop
