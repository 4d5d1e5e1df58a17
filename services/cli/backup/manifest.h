// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_MANIFEST_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_MANIFEST_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fieldloop::cli {

// Digests are SHA-256, 64 lower-case hex digits, and name blobs of the backup's pool.

// A table as lines of JSON, see rows_file.h.
struct BackupTable {
  std::string name;
  std::string digest;
  std::int64_t rows = 0;
  std::int64_t size_bytes = 0;
};

// What a backup has of one service.
struct BackupService {
  int schema = 0;                         // Number of its last migration.
  std::vector<BackupTable> tables;        // By name.
  std::vector<std::string> blob_columns;  // "table.column" that name blobs.
  std::int64_t blobs = 0;                 // Different ones that are named.
  std::vector<std::string> missing;       // Those of them that were lost before the backup.
};

// A file of the installation's folder that is no secret.
struct BackupFile {
  std::string path;  // Below the folder.
  std::string digest;
};

// What belongs to one backup. It is written when everything that it names is there.
struct BackupManifest {
  std::string id;          // Sorts by time.
  absl::Time create_time;  // Nothing that is newer is in it.
  std::string program;     // Version of the program that made it.
  std::map<std::string, BackupService> services;
  std::vector<BackupFile> files;
  std::string secrets;                    // Digest of a sealed bundle; empty: none.
  std::vector<std::string> secret_files;  // Paths in the bundle.
};

// The newest format that this program reads and the one that it writes.
inline constexpr int kBackupFormat = 1;

// JSON that ends with its own digest. Reading: DATA_LOSS if it is damaged; FAILED_PRECONDITION if
// its format is newer.
std::string ManifestText(const BackupManifest& manifest);
absl::StatusOr<BackupManifest> ParseManifest(const std::string& text);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_MANIFEST_H_
