// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_MAKE_BACKUP_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_MAKE_BACKUP_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/cli/backup/backup_place.h"
#include "services/cli/backup/manifest.h"
#include "services/cli/backup/service_stores.h"
#include "services/common/clock/clock.h"

namespace fieldloop::cli {

// Tells a person what happens, a line each time.
using Say = std::function<void(const std::string&)>;

struct BackupOptions {
  // Seals the keys and the admin token; empty: they are left out.
  std::string passphrase;
  bool with_release_keys = false;
  // Goes on although blobs that rows name are lost, and notes them in the backup.
  bool despite_missing = false;
};

// Backs an installation up while it works, and changes nothing in it.
//
// 1. Blobs that the place does not have are copied, while rows still come and go.
// 2. One transaction for each service's database begins, all within moments; the tables are copied
//    from these snapshots.
// 3. Blobs that the snapshots name and that are new since 1 are copied. Ingestion deletes a blob an
//    hour after its last row at the earliest, so that 2 and 3 have an hour.
// 4. Files of pki and trust. The manifest is last: until it is there, there is no backup.
//
// FAILED_PRECONDITION if there is no installation, a schema is newer than this program, or a
// restore into it has not ended; DATA_LOSS if blobs are missing; UNAVAILABLE, RESOURCE_EXHAUSTED.
absl::StatusOr<BackupManifest> MakeBackup(const InstallationPlaces& places, BackupPlace& place,
                                          const BackupOptions& options, const Clock& clock,
                                          const Say& say);

// Deletes all but the newest `keep` backups, and the blobs that only they named.
absl::Status PruneBackups(BackupPlace& place, int keep, const Say& say);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_MAKE_BACKUP_H_
