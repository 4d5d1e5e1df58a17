// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_BLOB_COPIER_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_BLOB_COPIER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/common/blob/blob_store.h"

namespace fieldloop::cli {

// Copies blobs, small ones many at once. One thread.
class BlobCopier {
 public:
  explicit BlobCopier(BlobStore& to) : to_(to) {}

  // NOT_FOUND or DATA_LOSS if `from` has it not, or not whole. It may wait for Flush().
  absl::Status Copy(BlobStore& from, const std::string& digest);
  absl::Status Flush();

  std::int64_t count() const { return count_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  struct Waiting {
    std::string digest;
    std::string data;
  };
  BlobStore& to_;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::int64_t count_ = 0;
  std::int64_t bytes_ = 0;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_BLOB_COPIER_H_
