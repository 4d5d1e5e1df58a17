// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_BACKUP_PLACE_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_BACKUP_PLACE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/cli/backup/manifest.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop::cli {

// Where backups are kept, any number of them: a pool of blobs that they share, and a manifest for
// each. A backup without a manifest does not exist; a manifest appears whole or not at all.
class BackupPlace {
 public:
  // Opens the folder or, for "s3://bucket[/prefix]...", the bucket; the bucket's keys are those of
  // OpenBucket() with FIELDLOOP_BACKUP_ before their names, or without. `may_write` makes the
  // folder, with access for its owner only, and keeps a second writer out of it until this object
  // is gone: FAILED_PRECONDITION. Without it, NOT_FOUND if it has no backups.
  static absl::StatusOr<std::unique_ptr<BackupPlace>> Open(const std::string& place, bool may_write,
                                                           const Clock& clock);
  BackupPlace() = default;
  BackupPlace(const BackupPlace&) = delete;
  BackupPlace& operator=(const BackupPlace&) = delete;
  virtual ~BackupPlace() = default;

  virtual BlobStore& pool() = 0;
  // Oldest first.
  virtual absl::StatusOr<std::vector<std::string>> ListIds() = 0;
  // NOT_FOUND; as ParseManifest().
  absl::StatusOr<BackupManifest> Get(const std::string& id);
  // The newest if `id` is empty. NOT_FOUND; as ParseManifest().
  absl::StatusOr<BackupManifest> Find(const std::string& id);
  absl::Status Put(const BackupManifest& manifest);
  virtual absl::Status Delete(const std::string& id) = 0;

 protected:
  virtual absl::StatusOr<std::string> ReadManifest(const std::string& id) = 0;
  virtual absl::Status WriteManifest(const std::string& id, const std::string& text) = 0;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_BACKUP_PLACE_H_
