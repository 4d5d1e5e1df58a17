// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/service_stores.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "migrations/build_storage_backup.h"
#include "migrations/distribution_storage_backup.h"
#include "migrations/evaluation_storage_backup.h"
#include "migrations/ingestion_storage_backup.h"
#include "migrations/provisioning_storage_backup.h"
#include "services/common/blob/folder_blob_reader.h"
#include "services/common/blob/open_blob_store.h"

namespace fieldloop::cli {
namespace {

ServiceStore Make(const std::string& name, const std::vector<Migration>& migrations,
                  const char* restored_sql, const std::vector<const char*>& blob_columns,
                  const std::string& blob_folder) {
  ServiceStore store{.name = name,
                     .migrations = &migrations,
                     .restored_sql = restored_sql,
                     .blob_columns = {},
                     .blob_folder = blob_folder};
  for (const char* column : blob_columns) {
    store.blob_columns.emplace_back(absl::StrSplit(column, absl::MaxSplits('.', 1)));
  }
  return store;
}

}  // namespace

const std::vector<ServiceStore>& ServiceStores() {
  static const auto* const stores = new std::vector<ServiceStore>{
      Make("evaluation", evaluation::Migrations(), evaluation::RestoredSql(),
           evaluation::BlobColumns(), ""),
      Make("distribution", distribution::Migrations(), distribution::RestoredSql(),
           distribution::BlobColumns(), ""),
      Make("build", build::Migrations(), build::RestoredSql(), build::BlobColumns(), "blobs"),
      Make("ingestion", ingestion::Migrations(), ingestion::RestoredSql(), ingestion::BlobColumns(),
           "ingestion-blobs"),
      Make("provisioning", provisioning::Migrations(), provisioning::RestoredSql(),
           provisioning::BlobColumns(), ""),
  };
  return *stores;
}

DatabaseOptions InstallationPlaces::DatabaseOf(const ServiceStore& service) const {
  const auto uri = databases.find(service.name);
  DatabaseOptions options{.connection = ""};
  options.pool_size = 1;
  options.schema = service.name;
  options.connection = uri != databases.end() ? uri->second
                                              : absl::StrCat("sqlite3://", home, "/", service.name,
                                                             "/", service.name, ".db");
  return options;
}

bool InstallationPlaces::HasSqlite() const {
  return std::any_of(
      ServiceStores().begin(), ServiceStores().end(),
      [this](const ServiceStore& service) { return databases.count(service.name) == 0; });
}

absl::StatusOr<std::unique_ptr<BlobStore>> InstallationPlaces::OpenBlobs(
    const ServiceStore& service, const Clock& clock) const {
  return OpenBlobStore(blobs, absl::StrCat(home, "/", service.name, "/", service.blob_folder),
                       service.name, clock);
}

absl::StatusOr<std::unique_ptr<BlobStore>> InstallationPlaces::OpenBlobsToRead(
    const ServiceStore& service, const Clock& clock) const {
  return blobs.empty()
             ? OpenFolderBlobReader(absl::StrCat(home, "/", service.name, "/", service.blob_folder))
             : OpenBlobs(service, clock);
}

}  // namespace fieldloop::cli
