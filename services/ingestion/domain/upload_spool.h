// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_UPLOAD_SPOOL_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_UPLOAD_SPOOL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::ingestion {

// Reason of FAILED_PRECONDITION: an upload does not go on where its bytes end.
inline constexpr char kOffsetMismatch[] = "OFFSET_MISMATCH";
// Reason of ABORTED: another call goes on with the upload.
inline constexpr char kUploadTakenOver[] = "UPLOAD_TAKEN_OVER";

// Names a resumable upload.
struct UploadKey {
  std::string project;
  std::string upload_id;
};

// How far a resumable upload has come.
struct PartialUpload {
  std::int64_t safe_bytes = 0;  // They survive a power cut.
  std::int64_t size_bytes = 0;  // Of the whole file.
  absl::Time expire_time{};
};

// The bytes of a file on its way. Used by one thread; destroyed, it keeps the bytes of a resumable
// upload and drops those of another.
class SpooledFile {
 public:
  SpooledFile() = default;
  SpooledFile(const SpooledFile&) = delete;
  SpooledFile& operator=(const SpooledFile&) = delete;
  virtual ~SpooledFile() = default;

  // RESOURCE_EXHAUSTED when the disk is full; ABORTED, reason UPLOAD_TAKEN_OVER.
  virtual absl::Status Append(absl::string_view data) = 0;
  virtual std::int64_t size_bytes() const = 0;
  // All bytes, without a copy in memory; valid until the next call.
  virtual absl::StatusOr<absl::string_view> Bytes() = 0;
  // Drops the bytes now, as their sample is stored.
  virtual void Remove() = 0;
};

// Keeps the bytes of files on their way outside memory, and those of resumable uploads through
// broken connections and restarts until their time is over. Owned by the domain, implemented in
// storage/. Thread-safe.
class UploadSpool {
 public:
  UploadSpool() = default;
  UploadSpool(const UploadSpool&) = delete;
  UploadSpool& operator=(const UploadSpool&) = delete;
  virtual ~UploadSpool() = default;

  // A file that nobody can come back to.
  virtual absl::StatusOr<std::unique_ptr<SpooledFile>> CreateTemporary() = 0;

  // Begins a resumable upload, or goes on with one at `offset`; a call that still writes to it is
  // cut off. FAILED_PRECONDITION, reason OFFSET_MISMATCH; INVALID_ARGUMENT if `size_bytes` is not
  // that of the first call; RESOURCE_EXHAUSTED when too many bytes wait already.
  virtual absl::StatusOr<std::unique_ptr<SpooledFile>> Open(const UploadKey& key,
                                                            std::int64_t size_bytes,
                                                            std::int64_t offset) = 0;

  // Makes safe what has come. NOT_FOUND.
  virtual absl::StatusOr<PartialUpload> Find(const UploadKey& key) = 0;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_UPLOAD_SPOOL_H_
