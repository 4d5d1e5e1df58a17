// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_CHECK_BACKUP_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_CHECK_BACKUP_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "services/cli/backup/digest_set.h"
#include "services/cli/backup/manifest.h"
#include "services/common/blob/blob_store.h"
#include "services/common/sql/table_copy.h"

namespace fieldloop::cli {

// Which values of a table's rows name blobs.
class BlobColumns {
 public:
  // `columns`: pairs of table and column, also of other tables.
  BlobColumns(const TableShape& table,
              const std::vector<std::pair<std::string, std::string>>& columns);
  // Adds what a row names.
  void AddNamed(const TableRow& row, DigestSet& named) const;

 private:
  std::vector<std::size_t> places_;
};

// Adds the digests of all that a backup needs of its pool. DATA_LOSS if a table's file is damaged.
absl::Status AddAllNamed(BlobStore& pool, const BackupManifest& manifest, DigestSet& named);

// Reads all that belongs to a backup. DATA_LOSS names what is damaged or missing.
absl::Status CheckBackup(BlobStore& pool, const BackupManifest& manifest);

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_CHECK_BACKUP_H_
