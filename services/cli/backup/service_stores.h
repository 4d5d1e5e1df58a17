// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_BACKUP_SERVICE_STORES_H_
#define FIELDLOOP_SERVICES_CLI_BACKUP_SERVICE_STORES_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"
#include "services/common/sql/database.h"

namespace fieldloop::cli {

// What a backup knows of a service: no more than what its storage/migrations folder says.
struct ServiceStore {
  std::string name;
  const std::vector<Migration>* migrations = nullptr;
  const char* restored_sql = "";
  // Table and column; the values, unless empty, are digests of blobs.
  std::vector<std::pair<std::string, std::string>> blob_columns;
  std::string blob_folder;  // In the service's data folder; empty: it has no blobs to keep.
};

// In the order in which their snapshots are taken: who refers to something comes before who has it,
// so that nothing in a backup refers to what is not in it.
const std::vector<ServiceStore>& ServiceStores();

// Where an installation keeps its data.
struct InstallationPlaces {
  std::string home;                              // Of `fieldloop up`.
  std::map<std::string, std::string> databases;  // By service; others have SQLite in `home`.
  std::string blobs;                             // "s3://..."; empty: folders in `home`.

  DatabaseOptions DatabaseOf(const ServiceStore& service) const;
  bool HasSqlite() const;  // Of any service.
  absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobs(const ServiceStore& service,
                                                       const Clock& clock) const;
  absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobsToRead(const ServiceStore& service,
                                                             const Clock& clock) const;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_BACKUP_SERVICE_STORES_H_
