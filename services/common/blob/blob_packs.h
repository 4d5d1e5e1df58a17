// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_PACKS_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_PACKS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/blob/file.h"
#include "services/common/sync/group_commit.h"
#include "services/common/sync/mutex.h"

namespace fieldloop {

struct BlobPackLimits {
  // A pack that reaches one of them is sealed.
  std::int64_t bytes = 256 << 20;
  std::size_t blobs = 1 << 17;
  // So many packs that are less than half as large are merged when the folder is opened.
  std::size_t small_packs = 8;
};

// Many small blobs in few files: a blob costs one write and its share of one sync, where a file of
// its own would cost a name, a rename and a sync of folder and file. Thread-safe; several processes
// may share the folder.
//
// A pack, NAME.pack, is a sequence of records: mark (8 bytes), size (8), SHA-256 (32), the blob.
// One process at a time appends to it and holds it locked; it is the only one that knows the
// records of it in memory. A full one is sealed: NAME.index lists its blobs in the order of their
// digests, is mapped into memory, and nothing is appended any more. What a crash left unsealed is
// read once, up to the first record whose digest does not fit, and sealed. All numbers are in the
// machine's order: the files never leave machines of one kind.
//
// A deleted blob is marked in the index. A pack of which less than half is left gives its blobs to
// the newest one and goes. A crash can undo a deletion, never anything else.
//
// Each process leaves a pack behind that is not full. Open merges small ones into a new pack: its
// records, its index and the folder are synced before the first of the old ones goes, so that after
// a crash a blob is in the old pack, in the new one or in both. A pack with a damaged blob stays as
// it is. Deletions and merges of all processes exclude each other by a lock on the file `changing`.
class BlobPacks {
 public:
  struct Blob {
    std::string digest;  // 32 bytes.
    absl::string_view data;
  };
  // Where a blob is. The file stays readable when the blob is deleted.
  struct Place {
    std::unique_ptr<File> file;
    std::int64_t offset = 0;
    std::int64_t size = 0;
  };

  // Makes `folder`, seals the packs of processes that are gone, and merges small ones into one
  // unless another process is at it; a merge that fails leaves all as it was. UNAVAILABLE,
  // RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<BlobPacks>> Open(const std::string& folder,
                                                         BlobPackLimits limits = {});
  // Only to read; the folder need not be there.
  static absl::StatusOr<std::unique_ptr<BlobPacks>> OpenToRead(const std::string& folder);
  ~BlobPacks();
  BlobPacks(const BlobPacks&) = delete;
  BlobPacks& operator=(const BlobPacks&) = delete;

  // After OK the blobs survive a power cut; after an error some of them may be there.
  // RESOURCE_EXHAUSTED, UNAVAILABLE.
  absl::Status Put(const std::vector<Blob>& blobs);
  // Digests have 32 bytes. Nothing if it is not there. UNAVAILABLE.
  absl::StatusOr<std::optional<Place>> Find(absl::string_view digest);
  // OK too if it is not there. Waits while another process deletes or merges. UNAVAILABLE while
  // another process appends to its pack.
  absl::Status Delete(absl::string_view digest);
  // As BlobStore::ForEach; a time is that of the last blob in the same pack.
  absl::Status ForEach(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink);

 private:
  struct Extent {
    std::int64_t offset = 0;
    std::int64_t size = 0;
  };
  using Extents = absl::flat_hash_map<std::string, Extent>;
  // A pack without an index.
  struct OpenPack {
    std::string name;
    std::unique_ptr<File> file;
    std::int64_t end = 0;  // Of its last whole record.
    Extents extents;
    absl::Time written;
  };
  class SealedPack;
  struct Item {
    const std::vector<Blob>* blobs;
    absl::Status status;
  };

  BlobPacks(std::string folder, BlobPackLimits limits, bool read_only);

  std::string PathOf(absl::string_view name) const;
  std::string IndexPathOf(absl::string_view name) const;
  // Takes note of what came and what went. Returns whether a pack went, whose blobs are now in one
  // that a listing at that moment may have missed.
  absl::StatusOr<bool> Refresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReadRecords(OpenPack& pack) const;
  absl::StatusOr<std::optional<Place>> FindKnown(absl::string_view digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The lock among processes, held until the file is destroyed. Nothing if it is held and `wait` is
  // false.
  absl::StatusOr<std::unique_ptr<File>> LockChanges(bool wait) const;
  // What a crash leaves that came while a pack was removed.
  void RemoveLostIndexes() const;
  absl::Status MergeSmall();
  // Whether all its blobs can be read and have their digests.
  bool IsWhole(const SealedPack& pack) const;
  absl::Status Merge(const std::vector<std::shared_ptr<SealedPack>>& packs);
  absl::Status Remove(const SealedPack& pack) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the same bytes are there, under a digest that is theirs.
  bool Has(const Blob& blob);
  void AppendItems(const std::vector<Item*>& items);
  absl::Status Append(const std::vector<const Blob*>& blobs);
  absl::StatusOr<std::unique_ptr<OpenPack>> Begin() const;
  absl::Status WriteIndex(const OpenPack& pack) const;
  // Seals the pack that grows. One that cannot be sealed goes on to grow.
  absl::Status Seal();
  // Moves what is left of a pack to the one that grows, and deletes it.
  absl::Status Empty(SealedPack& pack);

  const std::string folder_;
  const BlobPackLimits limits_;
  const bool read_only_;
  Mutex deleting_;  // Held while a pack is emptied, before mutex_.
  Mutex mutex_;
  // The one that grows. Changed by the group's leader under the lock.
  std::unique_ptr<OpenPack> growing_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, OpenPack> foreign_ ABSL_GUARDED_BY(mutex_);  // Of other processes.
  std::map<std::string, std::shared_ptr<SealedPack>> sealed_ ABSL_GUARDED_BY(mutex_);
  GroupCommit<Item> appends_;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_PACKS_H_
