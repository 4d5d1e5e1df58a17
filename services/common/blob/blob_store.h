// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_STORE_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop {

struct BlobInfo {
  std::string digest;  // SHA-256, 64 lower-case hex digits.
  std::int64_t size_bytes = 0;
};

// A whole blob to store.
struct BlobContent {
  absl::string_view data;
  std::string digest;  // Of `data`, if the caller knows it: saves the computation.
};

// Takes one blob piece by piece. Destroyed before Commit, it leaves nothing behind.
class BlobWriter {
 public:
  BlobWriter() = default;
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;
  virtual ~BlobWriter() = default;

  // RESOURCE_EXHAUSTED when the disk is full.
  virtual absl::Status Append(absl::string_view data) = 0;
  // After OK the blob is whole and survives a power cut. Call once.
  virtual absl::StatusOr<BlobInfo> Commit() = 0;
};

// Payloads under their SHA-256. A blob that exists is whole; the same bytes are stored once.
// Thread-safe.
class BlobStore {
 public:
  BlobStore() = default;
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;
  virtual ~BlobStore() = default;

  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> Create() = 0;
  // Writes a whole blob at once.
  absl::StatusOr<BlobInfo> Put(absl::string_view data);
  // Writes whole blobs for the price of one; after an error none, some or all of them are there.
  virtual absl::StatusOr<std::vector<BlobInfo>> PutAll(const std::vector<BlobContent>& blobs) = 0;
  // Returns the whole blob, verified. NOT_FOUND; DATA_LOSS if its bytes changed.
  absl::StatusOr<std::string> Get(absl::string_view digest);
  // Streams the blob in pieces of at most `piece_bytes`; verifies while it reads, DATA_LOSS at the
  // end.
  virtual absl::Status Read(absl::string_view digest, std::int64_t piece_bytes,
                            absl::FunctionRef<absl::Status(absl::string_view)> sink) = 0;
  // Returns `length` bytes (fewer at the end) from `offset`, without verification of the rest.
  virtual absl::StatusOr<std::string> ReadRange(absl::string_view digest, std::int64_t offset,
                                                std::int64_t length) = 0;
  virtual absl::StatusOr<bool> Exists(absl::string_view digest) = 0;
  // OK too if it is not there. Whoever reads it at this moment gets it whole or NOT_FOUND.
  virtual absl::Status Delete(absl::string_view digest) = 0;
  // Calls `sink` with every blob and when it was last written, in no order; stops at its first
  // error and returns it. Blobs that come or go meanwhile may be left out.
  virtual absl::Status ForEach(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) = 0;
};

// Keeps blobs as files `root/ab/cdef...`. Commits of many threads share their syncs of the disk.
// Makes `root`. UNAVAILABLE if it cannot.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolderBlobStore(const std::string& root);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_BLOB_STORE_H_
