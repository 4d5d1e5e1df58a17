// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/blob_packs.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kMaxItems = 256;
constexpr std::size_t kMaxPieces = 1024;                 // Of one call of pwritev.
constexpr std::int64_t kMovedBytes = 8 << 20;            // Read at a time when a pack is emptied.
constexpr std::uint64_t kMark = 0x31424f4c42'4c46;       // "FLBLOB1"
constexpr std::uint64_t kIndexMark = 0x315844'4e494c46;  // "FLINDX1"
constexpr char kPackEnding[] = ".pack";
constexpr char kIndexEnding[] = ".index";
constexpr char kChangesLock[] = "/changing";

struct RecordHeader {
  std::uint64_t mark = kMark;
  std::uint64_t size = 0;
  char digest[kDigestBytes] = {};
};
static_assert(sizeof(RecordHeader) == 48);

struct IndexHeader {
  std::uint64_t mark = kIndexMark;
  std::uint64_t entries = 0;
  std::int64_t written_micros = 0;
};
static_assert(sizeof(IndexHeader) == 24);

struct IndexEntry {
  char digest[kDigestBytes] = {};
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  std::uint32_t deleted = 0;

  absl::string_view Digest() const { return {digest, kDigestBytes}; }
};
static_assert(sizeof(IndexEntry) == 48);

// Writes all pieces one behind the other.
absl::Status WriteAt(int descriptor, const std::string& path, std::vector<iovec> pieces,
                     std::int64_t offset) {
  std::size_t first = 0;
  while (first < pieces.size()) {
    const std::size_t count = std::min(pieces.size() - first, kMaxPieces);
    const ssize_t written = ::pwritev(descriptor, &pieces[first], static_cast<int>(count), offset);
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return FileError("write", path, errno);
    }
    offset += written;
    auto rest = static_cast<std::size_t>(written);
    while (first < pieces.size() && rest >= pieces[first].iov_len) {
      rest -= pieces[first++].iov_len;
    }
    if (rest > 0) {
      pieces[first].iov_base = static_cast<char*>(pieces[first].iov_base) + rest;
      pieces[first].iov_len -= rest;
    }
  }
  return absl::OkStatus();
}

iovec Piece(const void* data, std::size_t size) {
  return {.iov_base = const_cast<void*>(data), .iov_len = size};  // NOLINT: only read.
}

// Reads up to `size` bytes; fewer only at the end of the file.
absl::StatusOr<std::string> ReadAt(int descriptor, const std::string& path, std::int64_t offset,
                                   std::size_t size) {
  std::string data(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::pread(descriptor, data.data() + filled, size - filled,
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

absl::Status SyncFolder(const std::string& path) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<File> folder, OpenFolder(path));
  return ::fsync(folder->get()) == 0 ? absl::OkStatus() : FileError("sync", path, errno);
}

}  // namespace

// The index of a pack, mapped into memory. Not thread-safe, but for ForEach.
class BlobPacks::SealedPack {
 public:
  // Nothing if the file is not a whole index.
  static absl::StatusOr<std::shared_ptr<SealedPack>> Open(std::string name,
                                                          const std::string& index_path,
                                                          bool read_only) {
    const File file(::open(index_path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    struct stat info {};
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0) {
      return FileError("open", index_path, errno);
    }
    const auto size = static_cast<std::size_t>(info.st_size);
    IndexHeader header;
    if (size < sizeof header) {
      return nullptr;
    }
    void* const start =
        ::mmap(nullptr, size, PROT_READ | (read_only ? 0 : PROT_WRITE), MAP_SHARED, file.get(), 0);
    if (start == MAP_FAILED) {
      return FileError("read", index_path, errno);
    }
    std::memcpy(&header, start, sizeof header);
    auto pack = std::shared_ptr<SealedPack>(new SealedPack(std::move(name), start, size));
    if (header.mark != kIndexMark ||
        header.entries != (size - sizeof header) / sizeof(IndexEntry)) {
      return nullptr;
    }
    pack->written_ = absl::FromUnixMicros(header.written_micros);
    for (const IndexEntry& entry : pack->entries()) {
      pack->all_bytes_ += entry.size;
      pack->left_bytes_ += entry.deleted == 0 ? entry.size : 0;
      pack->left_ += entry.deleted == 0 ? 1 : 0;
    }
    return pack;
  }

  ~SealedPack() { ::munmap(start_, size_); }
  SealedPack(const SealedPack&) = delete;
  SealedPack& operator=(const SealedPack&) = delete;

  struct Entries {
    IndexEntry* first;
    IndexEntry* last;
    IndexEntry* begin() const { return first; }
    IndexEntry* end() const { return last; }
  };
  Entries entries() const {
    auto* const first =
        reinterpret_cast<IndexEntry*>(static_cast<char*>(start_) + sizeof(IndexHeader));
    return {first, first + (size_ - sizeof(IndexHeader)) / sizeof(IndexEntry)};
  }

  IndexEntry* Find(absl::string_view digest) const {
    const Entries all = entries();
    IndexEntry* const found = std::lower_bound(
        all.first, all.last, digest,
        [](const IndexEntry& entry, absl::string_view wanted) { return entry.Digest() < wanted; });
    const bool there = found != all.last && found->Digest() == digest && found->deleted == 0;
    return there ? found : nullptr;
  }

  void Delete(IndexEntry& entry) {
    entry.deleted = 1;
    left_bytes_ -= entry.size;
    --left_;
  }

  const std::string& name() const { return name_; }
  absl::Time written() const { return written_; }
  bool is_worth_emptying() const { return left_ == 0 || left_bytes_ * 2 < all_bytes_; }
  std::int64_t left_bytes() const { return left_bytes_; }
  std::size_t left() const { return static_cast<std::size_t>(left_); }

 private:
  SealedPack(std::string name, void* start, std::size_t size)
      : name_(std::move(name)), start_(start), size_(size) {}

  const std::string name_;
  void* const start_;
  const std::size_t size_;
  absl::Time written_;
  std::int64_t all_bytes_ = 0;
  std::int64_t left_bytes_ = 0;
  std::int64_t left_ = 0;
};

BlobPacks::BlobPacks(std::string folder, BlobPackLimits limits, bool read_only)
    : folder_(std::move(folder)),
      limits_(limits),
      read_only_(read_only),
      appends_(kMaxItems, [this](const std::vector<Item*>& items) { AppendItems(items); }) {}

BlobPacks::~BlobPacks() {
  // What cannot be sealed now is sealed by the next process.
  Seal().IgnoreError();
}

std::string BlobPacks::PathOf(absl::string_view name) const {
  return absl::StrCat(folder_, "/", name, kPackEnding);
}
std::string BlobPacks::IndexPathOf(absl::string_view name) const {
  return absl::StrCat(folder_, "/", name, kIndexEnding);
}

absl::StatusOr<std::unique_ptr<BlobPacks>> BlobPacks::Open(const std::string& folder,
                                                           BlobPackLimits limits) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot make ", folder, ": ", error.message()));
  }
  std::unique_ptr<BlobPacks> packs(new BlobPacks(folder, limits, /*read_only=*/false));
  {
    const MutexLock lock(packs->mutex_);
    FIELDLOOP_RETURN_IF_ERROR(packs->Refresh().status());
    std::vector<std::string> left_behind;
    for (auto& [name, pack] : packs->foreign_) {
      if (::flock(pack.file->get(), LOCK_EX | LOCK_NB) == 0) {  // Otherwise its process lives.
        left_behind.push_back(name);
      }
    }
    for (const std::string& name : left_behind) {
      FIELDLOOP_RETURN_IF_ERROR(packs->WriteIndex(packs->foreign_.at(name)));
    }
    FIELDLOOP_RETURN_IF_ERROR(packs->Refresh().status());
  }
  packs->MergeSmall().IgnoreError();  // All blobs are where they were; the next Open tries again.
  return packs;
}

absl::StatusOr<std::unique_ptr<BlobPacks>> BlobPacks::OpenToRead(const std::string& folder) {
  std::unique_ptr<BlobPacks> packs(new BlobPacks(folder, {}, /*read_only=*/true));
  const MutexLock lock(packs->mutex_);
  FIELDLOOP_RETURN_IF_ERROR(packs->Refresh().status());
  return packs;
}

absl::StatusOr<bool> BlobPacks::Refresh() {
  std::set<std::string> there;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  if (read_only_ && error == std::errc::no_such_file_or_directory) {
    return false;  // Nothing was ever packed.
  }
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == kPackEnding) {
      there.insert(entry->path().stem().string());
    }
  }
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot list ", folder_, ": ", error.message()));
  }
  const auto is_gone = [&there](const auto& known) { return there.count(known.first) == 0; };
  bool went = std::erase_if(sealed_, is_gone) > 0;
  went = std::erase_if(foreign_, is_gone) > 0 || went;
  for (const std::string& name : there) {
    if (sealed_.count(name) > 0 || (growing_ != nullptr && growing_->name == name)) {
      continue;
    }
    if (::access(IndexPathOf(name).c_str(), F_OK) == 0) {
      FIELDLOOP_ASSIGN_OR_RETURN(std::shared_ptr<SealedPack> pack,
                                 SealedPack::Open(name, IndexPathOf(name), read_only_));
      if (pack != nullptr) {
        sealed_[name] = std::move(pack);
        foreign_.erase(name);
        continue;
      }
    }
    OpenPack& pack = foreign_[name];
    if (pack.file == nullptr) {
      pack.name = name;
      pack.file = std::make_unique<File>(
          ::open(PathOf(name).c_str(), (read_only_ ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    }
    if (pack.file->get() < 0) {
      foreign_.erase(name);  // It was emptied at this moment.
      went = true;
      continue;
    }
    FIELDLOOP_RETURN_IF_ERROR(ReadRecords(pack));
  }
  return went;
}

absl::Status BlobPacks::ReadRecords(OpenPack& pack) const {
  const std::string path = PathOf(pack.name);
  struct stat info {};
  if (::fstat(pack.file->get(), &info) != 0) {
    return FileError("read", path, errno);
  }
  pack.written = absl::TimeFromTimespec(info.st_mtim);
  while (pack.end + static_cast<std::int64_t>(sizeof(RecordHeader)) <= info.st_size) {
    RecordHeader header;
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string bytes,
                               ReadAt(pack.file->get(), path, pack.end, sizeof header));
    if (bytes.size() < sizeof header) {
      break;
    }
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::int64_t offset = pack.end + static_cast<std::int64_t>(sizeof header);
    if (header.mark != kMark || header.size > static_cast<std::uint64_t>(info.st_size - offset)) {
      break;
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string data,
                               ReadAt(pack.file->get(), path, offset, header.size));
    const std::string digest(header.digest, kDigestBytes);
    if (Sha256Of(data) != digest) {
      break;
    }
    const auto size = static_cast<std::int64_t>(header.size);
    pack.extents[digest] = {.offset = offset, .size = size};
    pack.end = offset + size;
  }
  return absl::OkStatus();
}

absl::Status BlobPacks::Put(const std::vector<Blob>& blobs) {
  std::vector<Blob> fresh;
  for (const Blob& blob : blobs) {
    if (!Has(blob)) {
      fresh.push_back(blob);
    }
  }
  if (fresh.empty()) {
    return absl::OkStatus();
  }
  Item item{.blobs = &fresh, .status = absl::OkStatus()};
  appends_.Run(item);
  return item.status;
}

bool BlobPacks::Has(const Blob& blob) {
  std::optional<Place> place;
  {
    const MutexLock lock(mutex_);
    absl::StatusOr<std::optional<Place>> found = FindKnown(blob.digest);
    if (!found.ok() || !found->has_value()) {
      return false;
    }
    place = *std::move(found);
  }
  const absl::StatusOr<std::string> there =
      ReadAt(place->file->get(), folder_, place->offset, static_cast<std::size_t>(place->size));
  return there.ok() && *there == blob.data;
}

void BlobPacks::AppendItems(const std::vector<Item*>& items) {
  std::vector<const Blob*> blobs;
  for (const Item* item : items) {
    for (const Blob& blob : *item->blobs) {
      blobs.push_back(&blob);
    }
  }
  const absl::Status status = Append(blobs);
  for (Item* item : items) {
    item->status = status;
  }
}

absl::Status BlobPacks::Append(const std::vector<const Blob*>& blobs) {
  OpenPack* pack = nullptr;
  {
    const MutexLock lock(mutex_);
    pack = growing_.get();
  }
  if (pack == nullptr) {
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<OpenPack> begun, Begin());
    pack = begun.get();
    const MutexLock lock(mutex_);
    foreign_.erase(pack->name);  // If it was found before it was known as our own.
    growing_ = std::move(begun);
  }
  std::vector<RecordHeader> headers(blobs.size());
  std::vector<iovec> pieces;
  pieces.reserve(2 * blobs.size());
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    headers[i].size = blobs[i]->data.size();
    std::memcpy(headers[i].digest, blobs[i]->digest.data(), kDigestBytes);
    pieces.push_back(Piece(&headers[i], sizeof headers[i]));
    pieces.push_back(Piece(blobs[i]->data.data(), blobs[i]->data.size()));
  }
  const std::string path = PathOf(pack->name);
  absl::Status status = WriteAt(pack->file->get(), path, std::move(pieces), pack->end);
  if (status.ok() && ::fdatasync(pack->file->get()) != 0) {
    status = FileError("sync", path, errno);
  }
  if (!status.ok()) {
    // Nobody will read it, and the next blobs are written over it; this gives its space back.
    (void)!::ftruncate(pack->file->get(), pack->end);
    return status;
  }
  bool is_full = false;
  {
    const MutexLock lock(mutex_);
    for (const Blob* blob : blobs) {
      const auto size = static_cast<std::int64_t>(blob->data.size());
      const std::int64_t offset = pack->end + static_cast<std::int64_t>(sizeof(RecordHeader));
      pack->extents[blob->digest] = {.offset = offset, .size = size};
      pack->end = offset + size;
    }
    pack->written = absl::Now();
    is_full = pack->end >= limits_.bytes || pack->extents.size() >= limits_.blobs;
  }
  if (is_full) {
    Seal().IgnoreError();  // The blobs are safe.
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobPacks::OpenPack>> BlobPacks::Begin() const {
  auto pack = std::make_unique<OpenPack>();
  pack->name = ToHex(RandomBytes(16));
  const std::string path = PathOf(pack->name);
  pack->file =
      std::make_unique<File>(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (pack->file->get() < 0) {
    return FileError("create", path, errno);
  }
  if (::flock(pack->file->get(), LOCK_EX | LOCK_NB) != 0) {
    return FileError("lock", path, errno);
  }
  FIELDLOOP_RETURN_IF_ERROR(SyncFolder(folder_));
  return pack;
}

absl::Status BlobPacks::WriteIndex(const OpenPack& pack) const {
  std::vector<IndexEntry> entries;
  entries.reserve(pack.extents.size());
  for (const auto& [digest, extent] : pack.extents) {
    IndexEntry entry{.offset = static_cast<std::uint64_t>(extent.offset),
                     .size = static_cast<std::uint32_t>(extent.size)};
    std::memcpy(entry.digest, digest.data(), kDigestBytes);
    entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.Digest() < b.Digest(); });
  const IndexHeader header{.entries = entries.size(),
                           .written_micros = absl::ToUnixMicros(pack.written)};
  const std::string path = IndexPathOf(pack.name);
  const std::string temporary = path + ".new";
  {
    const File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.get() < 0) {
      return FileError("create", temporary, errno);
    }
    absl::Status status = WriteAt(
        file.get(), temporary,
        {Piece(&header, sizeof header), Piece(entries.data(), entries.size() * sizeof(IndexEntry))},
        0);
    if (status.ok() && ::fsync(file.get()) != 0) {
      status = FileError("sync", temporary, errno);
    }
    if (!status.ok()) {
      ::unlink(temporary.c_str());
      return status;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return FileError("rename", temporary, errno);
  }
  return SyncFolder(folder_);
}

absl::Status BlobPacks::Seal() {
  const MutexLock lock(mutex_);
  if (growing_ == nullptr) {
    return absl::OkStatus();
  }
  FIELDLOOP_RETURN_IF_ERROR(WriteIndex(*growing_));
  FIELDLOOP_ASSIGN_OR_RETURN(
      std::shared_ptr<SealedPack> pack,
      SealedPack::Open(growing_->name, IndexPathOf(growing_->name), read_only_));
  if (pack == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot read ", IndexPathOf(growing_->name), " back"));
  }
  sealed_[growing_->name] = std::move(pack);
  growing_.reset();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<BlobPacks::Place>> BlobPacks::FindKnown(absl::string_view digest) {
  const auto open = [this](absl::string_view name, std::int64_t offset,
                           std::int64_t size) -> absl::StatusOr<std::optional<Place>> {
    const std::string path = PathOf(name);
    auto file = std::make_unique<File>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file->get() < 0 && errno == ENOENT) {
      return std::nullopt;  // Another process emptied it.
    }
    if (file->get() < 0) {
      return FileError("open", path, errno);
    }
    return Place{.file = std::move(file), .offset = offset, .size = size};
  };
  const auto find_in = [&](const OpenPack& pack) -> absl::StatusOr<std::optional<Place>> {
    const auto found = pack.extents.find(digest);
    if (found == pack.extents.end()) {
      return std::nullopt;
    }
    return open(pack.name, found->second.offset, found->second.size);
  };
  if (growing_ != nullptr) {
    absl::StatusOr<std::optional<Place>> place = find_in(*growing_);
    if (!place.ok() || place->has_value()) {
      return place;
    }
  }
  for (const auto& [name, pack] : sealed_) {
    const IndexEntry* const entry = pack->Find(digest);
    if (entry == nullptr) {
      continue;
    }
    absl::StatusOr<std::optional<Place>> place =
        open(name, static_cast<std::int64_t>(entry->offset), entry->size);
    if (!place.ok() || place->has_value()) {
      return place;
    }
  }
  for (const auto& [name, pack] : foreign_) {
    absl::StatusOr<std::optional<Place>> place = find_in(pack);
    if (!place.ok() || place->has_value()) {
      return place;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<BlobPacks::Place>> BlobPacks::Find(absl::string_view digest) {
  const MutexLock lock(mutex_);
  absl::StatusOr<std::optional<Place>> place = FindKnown(digest);
  if (!place.ok() || place->has_value()) {
    return place;
  }
  // Another process may have stored it, or moved it to another pack.
  for (bool went = true; went;) {
    FIELDLOOP_ASSIGN_OR_RETURN(went, Refresh());
    place = FindKnown(digest);
    if (!place.ok() || place->has_value()) {
      break;
    }
  }
  return place;
}

absl::StatusOr<std::unique_ptr<File>> BlobPacks::LockChanges(bool wait) const {
  const std::string path = folder_ + kChangesLock;
  auto file = std::make_unique<File>(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file->get() < 0) {
    return FileError("open", path, errno);
  }
  while (::flock(file->get(), wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return nullptr;
    }
    if (errno != EINTR) {
      return FileError("lock", path, errno);
    }
  }
  return file;
}

absl::Status BlobPacks::Delete(absl::string_view digest) {
  const MutexLock deleting(deleting_);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<File> alone, LockChanges(/*wait=*/true));
  std::vector<std::shared_ptr<SealedPack>> emptied;
  {
    const MutexLock lock(mutex_);
    FIELDLOOP_RETURN_IF_ERROR(Refresh().status());
    for (const auto& [name, pack] : foreign_) {
      if (pack.extents.contains(digest)) {
        return absl::UnavailableError(absl::StrCat("another process appends to ", PathOf(name),
                                                   ", which holds the blob; repeat later"));
      }
    }
    if (growing_ != nullptr) {
      growing_->extents.erase(digest);
    }
    for (const auto& [name, pack] : sealed_) {
      if (IndexEntry* const entry = pack->Find(digest); entry != nullptr) {
        pack->Delete(*entry);
        if (pack->is_worth_emptying()) {
          emptied.push_back(pack);
        }
      }
    }
  }
  for (const std::shared_ptr<SealedPack>& pack : emptied) {
    // The blob is deleted; a pack that cannot be emptied now is with the next deletion from it.
    Empty(*pack).IgnoreError();
  }
  return absl::OkStatus();
}

absl::Status BlobPacks::Empty(SealedPack& pack) {
  const std::string path = PathOf(pack.name());
  {
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) {
      return FileError("open", path, errno);
    }
    std::vector<std::string> contents;
    std::vector<Blob> blobs;
    std::int64_t bytes = 0;
    const auto move = [&]() -> absl::Status {
      if (blobs.empty()) {
        return absl::OkStatus();
      }
      for (std::size_t i = 0; i < blobs.size(); ++i) {
        blobs[i].data = contents[i];
      }
      Item item{.blobs = &blobs, .status = absl::OkStatus()};
      appends_.Run(item);
      contents.clear();
      blobs.clear();
      bytes = 0;
      return item.status;
    };
    for (const IndexEntry& entry : pack.entries()) {
      if (entry.deleted != 0) {
        continue;
      }
      FIELDLOOP_ASSIGN_OR_RETURN(
          std::string data,
          ReadAt(file.get(), path, static_cast<std::int64_t>(entry.offset), entry.size));
      // What is damaged stays to be told from what never was.
      if (Sha256Of(data) != entry.Digest()) {
        return absl::DataLossError(absl::StrCat("a blob of ", path, " does not have its digest"));
      }
      bytes += entry.size;
      contents.push_back(std::move(data));
      blobs.push_back({.digest = std::string(entry.Digest()), .data = ""});
      if (bytes >= kMovedBytes) {
        FIELDLOOP_RETURN_IF_ERROR(move());
      }
    }
    FIELDLOOP_RETURN_IF_ERROR(move());
  }
  const MutexLock lock(mutex_);
  return Remove(pack);
}

absl::Status BlobPacks::Remove(const SealedPack& pack) {
  const std::string path = PathOf(pack.name());
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return FileError("delete", path, errno);
  }
  ::unlink(IndexPathOf(pack.name()).c_str());
  sealed_.erase(std::string(pack.name()));
  return absl::OkStatus();
}

void BlobPacks::RemoveLostIndexes() const {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().stem().string();
    if (entry->path().extension() == kIndexEnding && ::access(PathOf(name).c_str(), F_OK) != 0 &&
        errno == ENOENT) {
      ::unlink(entry->path().c_str());
    }
  }
}

absl::Status BlobPacks::MergeSmall() {
  const MutexLock deleting(deleting_);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<File> alone, LockChanges(/*wait=*/false));
  if (alone == nullptr) {
    return absl::OkStatus();
  }
  std::vector<std::shared_ptr<SealedPack>> packs;
  {
    const MutexLock lock(mutex_);
    FIELDLOOP_RETURN_IF_ERROR(Refresh().status());
    RemoveLostIndexes();
    for (const auto& [name, pack] : sealed_) {
      if (pack->left_bytes() * 2 < limits_.bytes && pack->left() * 2 < limits_.blobs) {
        packs.push_back(pack);
      }
    }
  }
  if (packs.size() < limits_.small_packs) {
    return absl::OkStatus();
  }
  // The smallest, as many as make one pack.
  std::sort(packs.begin(), packs.end(),
            [](const auto& a, const auto& b) { return a->left_bytes() < b->left_bytes(); });
  std::int64_t bytes = 0;
  std::size_t blobs = 0;
  std::size_t taken = 0;
  while (taken < packs.size() && bytes + packs[taken]->left_bytes() <= limits_.bytes &&
         blobs + packs[taken]->left() <= limits_.blobs) {
    bytes += packs[taken]->left_bytes();
    blobs += packs[taken]->left();
    ++taken;
  }
  packs.resize(taken);
  std::erase_if(packs, [this](const auto& pack) { return !IsWhole(*pack); });
  return packs.size() < 2 ? absl::OkStatus() : Merge(packs);
}

bool BlobPacks::IsWhole(const SealedPack& pack) const {
  const std::string path = PathOf(pack.name());
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const SealedPack::Entries all = pack.entries();
  return file.get() >= 0 && std::all_of(all.begin(), all.end(), [&](const IndexEntry& entry) {
           if (entry.deleted != 0) {
             return true;
           }
           const absl::StatusOr<std::string> data =
               ReadAt(file.get(), path, static_cast<std::int64_t>(entry.offset), entry.size);
           return data.ok() && Sha256Of(*data) == entry.Digest();
         });
}

absl::Status BlobPacks::Merge(const std::vector<std::shared_ptr<SealedPack>>& packs) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<OpenPack> merged, Begin());
  const std::string path = PathOf(merged->name);
  const auto copy = [&]() -> absl::Status {
    for (const std::shared_ptr<SealedPack>& pack : packs) {
      merged->written = std::max(merged->written, pack->written());
      const std::string from = PathOf(pack->name());
      const File file(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
      if (file.get() < 0) {
        return FileError("open", from, errno);
      }
      for (const IndexEntry& entry : pack->entries()) {
        if (entry.deleted != 0 || merged->extents.contains(entry.Digest())) {
          continue;
        }
        FIELDLOOP_ASSIGN_OR_RETURN(
            const std::string data,
            ReadAt(file.get(), from, static_cast<std::int64_t>(entry.offset), entry.size));
        RecordHeader header{.size = data.size()};
        std::memcpy(header.digest, entry.digest, kDigestBytes);
        FIELDLOOP_RETURN_IF_ERROR(
            WriteAt(merged->file->get(), path,
                    {Piece(&header, sizeof header), Piece(data.data(), data.size())}, merged->end));
        const auto size = static_cast<std::int64_t>(data.size());
        const std::int64_t offset = merged->end + static_cast<std::int64_t>(sizeof header);
        merged->extents[entry.Digest()] = {.offset = offset, .size = size};
        merged->end = offset + size;
      }
    }
    return ::fdatasync(merged->file->get()) == 0 ? absl::OkStatus()
                                                 : FileError("sync", path, errno);
  };
  absl::Status status = copy();
  if (status.ok()) {
    status = WriteIndex(*merged);  // Syncs the folder too.
  }
  if (!status.ok()) {
    ::unlink(path.c_str());
    ::unlink(IndexPathOf(merged->name).c_str());
    return status;
  }
  const MutexLock lock(mutex_);
  FIELDLOOP_RETURN_IF_ERROR(Refresh().status());
  for (const std::shared_ptr<SealedPack>& pack : packs) {
    FIELDLOOP_RETURN_IF_ERROR(Remove(*pack));
  }
  return absl::OkStatus();
}

absl::Status BlobPacks::ForEach(
    absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) {
  std::vector<std::pair<std::string, absl::Time>> unsealed;
  std::map<std::string, std::shared_ptr<SealedPack>> sealed;
  {
    const MutexLock lock(mutex_);
    FIELDLOOP_RETURN_IF_ERROR(Refresh().status());
    const auto add = [&unsealed](const OpenPack& pack) {
      for (const auto& [digest, extent] : pack.extents) {
        unsealed.emplace_back(digest, pack.written);
      }
    };
    if (growing_ != nullptr) {
      add(*growing_);
    }
    for (const auto& [name, pack] : foreign_) {
      add(pack);
    }
    sealed = sealed_;
  }
  for (const auto& [digest, written] : unsealed) {
    FIELDLOOP_RETURN_IF_ERROR(sink(digest, written));
  }
  for (const auto& [name, pack] : sealed) {
    for (const IndexEntry& entry : pack->entries()) {
      if (entry.deleted == 0) {
        FIELDLOOP_RETURN_IF_ERROR(sink(entry.Digest(), pack->written()));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace fieldloop
