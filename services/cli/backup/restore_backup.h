// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_RESTORE_BACKUP_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_RESTORE_BACKUP_H_

#include <string>

#include "absl/status/status.h"
#include "services/cli/backup/backup_place.h"
#include "services/cli/backup/make_backup.h"
#include "services/cli/backup/manifest.h"
#include "services/cli/backup/service_stores.h"
#include "services/common/clock/clock.h"

namespace fieldloop::cli {

// A file in the installation's folder while a restore fills it; `fieldloop up` refuses then.
inline constexpr char kRestoreMark[] = "restore-has-not-ended";

struct RestoreOptions {
  std::string passphrase;        // Of the sealed keys.
  bool without_secrets = false;  // Leaves them sealed.
  // The installation was stopped before the backup and has not run since: it moves, nothing is
  // lost, and its numbers, tokens and times go on as they were.
  bool moved = false;
};

// Makes the installation of a backup anew in `places`, on either database and either kind of blob
// store, whatever it had before. Checks all of the backup first. Unless it has moved, each
// service's restored.sql runs: numbers that devices know go on far above those of the backup.
//
// FAILED_PRECONDITION if the place is not empty (blobs may be there), the backup needs a newer
// program or a passphrase; DATA_LOSS if the backup is damaged; PERMISSION_DENIED if the passphrase
// is wrong: in all of these cases nothing was changed. After another error, or when it is killed,
// services refuse to start on what is there.
absl::Status RestoreBackup(BackupPlace& place, const BackupManifest& manifest,
                           const InstallationPlaces& places, const RestoreOptions& options,
                           const Clock& clock, const Say& say);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_RESTORE_BACKUP_H_
