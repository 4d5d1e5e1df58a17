// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_JOURNAL_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fieldloop {

// A write-ahead file for small blobs: many are made safe by one sync of one file, instead of two
// syncs of many files and folders. The blobs' own files follow unsynced; after a crash they are
// made again from here. Used by one thread at a time.
//
// A file is a sequence of records: epoch (8 bytes), size (8), SHA-256 (32), the blob. All numbers
// are in the machine's order: the file never leaves it. A record of another epoch, or one whose
// digest does not fit, ends the sequence. When the blobs' own files are synced, a new epoch begins
// at the front: the file keeps its size, so that a sync has only data to write.
class BlobJournal {
 public:
  struct Entry {
    absl::string_view digest;  // 32 bytes.
    absl::string_view data;
  };

  // Opens a new journal in `folder`, which exists, and holds it locked. UNAVAILABLE,
  // RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<BlobJournal>> Create(const std::string& folder);

  // Calls `restore` for each blob in the journals of processes that are gone, then `sync`, and
  // deletes them. The first error ends it.
  static absl::Status Recover(const std::string& folder,
                              const std::function<absl::Status(const Entry&)>& restore,
                              const std::function<absl::Status()>& sync);

  // Deletes the file: call `Restart` first if it holds anything.
  ~BlobJournal();
  BlobJournal(const BlobJournal&) = delete;
  BlobJournal& operator=(const BlobJournal&) = delete;

  // After OK the entries survive a power cut. After an error they may or may not.
  absl::Status Append(const std::vector<Entry>& entries);
  // Bytes since the last Restart.
  std::int64_t size_bytes() const { return end_; }
  // Forgets all entries, because their blobs are safe without it.
  void Restart();

 private:
  BlobJournal(std::string path, int descriptor);

  const std::string path_;
  const int descriptor_;
  std::uint64_t epoch_;
  std::int64_t end_ = 0;
};

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_JOURNAL_H_
