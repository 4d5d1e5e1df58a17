// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/restore_backup.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "services/cli/backup/blob_copier.h"
#include "services/cli/backup/check_backup.h"
#include "services/cli/backup/digest_set.h"
#include "services/cli/backup/home_files.h"
#include "services/cli/backup/rows_file.h"
#include "services/cli/commands/arguments.h"
#include "services/common/crypto/sealed.h"
#include "services/common/sql/database_backup.h"
#include "services/common/sql/table_copy.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

class Restore {
 public:
  Restore(BackupPlace& place, const BackupManifest& manifest, const InstallationPlaces& places,
          const RestoreOptions& options, const Clock& clock, const Say& say)
      : place_(place),
        manifest_(manifest),
        places_(places),
        options_(options),
        clock_(clock),
        say_(say) {}

  absl::Status Run() {
    FIELDLOOP_RETURN_IF_ERROR(CheckServices());
    FIELDLOOP_RETURN_IF_ERROR(CheckTarget());
    FIELDLOOP_RETURN_IF_ERROR(OpenSecrets());
    say_(absl::StrCat("checking backup ", manifest_.id));
    FIELDLOOP_RETURN_IF_ERROR(CheckBackup(place_.pool(), manifest_));

    FIELDLOOP_RETURN_IF_ERROR(MakeHome());
    for (const ServiceStore& service : ServiceStores()) {
      FIELDLOOP_RETURN_IF_ERROR(Fill(service));
    }
    FIELDLOOP_RETURN_IF_ERROR(CopyFiles());
    for (const ServiceStore& service : ServiceStores()) {
      FIELDLOOP_RETURN_IF_ERROR(Finish(service));
    }
    ::unlink(absl::StrCat(places_.home, "/", kRestoreMark).c_str());
    return absl::OkStatus();
  }

 private:
  const BackupService& Of(const ServiceStore& service) const {
    return manifest_.services.at(service.name);
  }

  absl::Status CheckServices() const {
    for (const ServiceStore& service : ServiceStores()) {
      const auto found = manifest_.services.find(service.name);
      if (found == manifest_.services.end()) {
        return absl::DataLossError(
            absl::StrCat("backup ", manifest_.id, " has nothing of ", service.name));
      }
      const int known = static_cast<int>(service.migrations->size());
      if (found->second.schema > known) {
        return absl::FailedPreconditionError(
            absl::StrCat("the backup has schema ", found->second.schema, " of ", service.name,
                         ", this program knows ", known, ": restore with version ",
                         manifest_.program, " or a newer one"));
      }
    }
    return absl::OkStatus();
  }

  bool UsesHome() const {
    return places_.HasSqlite() || places_.blobs.empty() || !manifest_.files.empty();
  }

  absl::Status CheckTarget() const {
    std::error_code error;
    if (UsesHome() && std::filesystem::exists(places_.home, error) &&
        !std::filesystem::is_empty(places_.home, error)) {
      return absl::FailedPreconditionError(
          absl::StrCat(places_.home,
                       " is not empty: stop what runs there and move it away, or "
                       "restore elsewhere with --home"));
    }
    for (const ServiceStore& service : ServiceStores()) {
      const DatabaseOptions options = places_.DatabaseOf(service);
      const absl::StatusOr<std::unique_ptr<Database>> database = OpenDatabaseAsItIs(options);
      if (absl::IsNotFound(database.status())) {
        continue;
      }
      FIELDLOOP_RETURN_IF_ERROR(database.status());
      FIELDLOOP_RETURN_IF_ERROR((*database)->Read([&](soci::session& session) -> absl::Status {
        if (!HasSchema(session)) {
          return absl::OkStatus();
        }
        return absl::FailedPreconditionError(
            absl::StrCat("the database has tables of ", service.name,
                         ": stop the services, and drop the schema ", service.name,
                         " or restore into another database"));
      }));
    }
    return absl::OkStatus();
  }

  absl::Status OpenSecrets() {
    if (manifest_.secrets.empty() || options_.without_secrets) {
      return absl::OkStatus();
    }
    if (options_.passphrase.empty()) {
      return absl::FailedPreconditionError(
          "the backup's keys are sealed: give --passphrase-file, or --without-secrets if you have "
          "them elsewhere");
    }
    const absl::StatusOr<std::string> sealed = place_.pool().Get(manifest_.secrets);
    if (!sealed.ok()) {
      return absl::DataLossError(absl::StrCat("the sealed keys: ", sealed.status().message()));
    }
    absl::StatusOr<std::string> bundle = Unseal(options_.passphrase, *sealed);
    if (!bundle.ok()) {
      return absl::Status(bundle.status().code(),
                          absl::StrCat("--passphrase-file: ", bundle.status().message()));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(secrets_, ParseBundle(*bundle));
    return absl::OkStatus();
  }

  absl::Status MakeHome() const {
    if (!UsesHome()) {
      return absl::OkStatus();
    }
    std::error_code error;
    std::filesystem::create_directories(places_.home, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("--home: cannot make ", places_.home, ": ", error.message()));
    }
    return WriteFile(absl::StrCat(places_.home, "/", kRestoreMark),
                     absl::StrCat("of backup ", manifest_.id, "\n"));
  }

  absl::StatusOr<std::unique_ptr<Database>> Open(const ServiceStore& service, int schema) const {
    if (places_.databases.count(service.name) == 0) {
      std::error_code error;
      std::filesystem::create_directories(absl::StrCat(places_.home, "/", service.name), error);
    }
    const std::vector<Migration> migrations(service.migrations->begin(),
                                            service.migrations->begin() + schema);
    return OpenDatabaseToRestore(places_.DatabaseOf(service), migrations);
  }

  // Tables as they were, then the blobs that their rows name.
  absl::Status Fill(const ServiceStore& service) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database,
                               Open(service, Of(service).schema));
    DigestSet named;
    std::int64_t rows = 0;
    const auto fill = [&](soci::session& session) -> absl::Status {
      WithoutTimeouts(session);
      FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<TableShape> tables, ListTables(session));
      for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
        session << "DELETE FROM " << table->name;  // What migrations put there.
      }
      for (const TableShape& table : tables) {
        FIELDLOOP_RETURN_IF_ERROR(FillTable(service, session, table, named));
      }
      return absl::OkStatus();
    };
    FIELDLOOP_RETURN_IF_ERROR(database->Write(fill));
    for (const BackupTable& table : Of(service).tables) {
      rows += table.rows;
    }
    if (!service.blob_folder.empty()) {
      FIELDLOOP_RETURN_IF_ERROR(CopyBlobs(service, named));
    }
    say_(absl::StrCat(
        service.name, ": ", rows, " rows",
        service.blob_folder.empty() ? "" : absl::StrCat(", ", named.size(), " blobs")));
    return absl::OkStatus();
  }

  absl::Status FillTable(const ServiceStore& service, soci::session& session,
                         const TableShape& table, DigestSet& named) {
    const std::vector<BackupTable>& kept = Of(service).tables;
    const auto found = std::find_if(
        kept.begin(), kept.end(),
        [&table](const BackupTable& candidate) { return candidate.name == table.name; });
    if (found == kept.end()) {
      return absl::DataLossError(
          absl::StrCat("backup ", manifest_.id, " has no table ", service.name, ".", table.name));
    }
    std::unique_ptr<TableWriter> writer;
    BlobColumns columns(table, service.blob_columns);
    FIELDLOOP_RETURN_IF_ERROR(ReadRowsFile(
                                  place_.pool(), found->digest,
                                  [&](const TableShape& shape) -> absl::Status {
                                    if (shape.name != table.name ||
                                        shape.columns != table.columns) {
                                      return absl::DataLossError(absl::StrCat(
                                          "table ", service.name, ".", table.name,
                                          " has other columns than schema ", Of(service).schema));
                                    }
                                    writer = std::make_unique<TableWriter>(session, table);
                                    return absl::OkStatus();
                                  },
                                  [&](TableRow row) {
                                    columns.AddNamed(row, named);
                                    return writer->Add(std::move(row));
                                  })
                                  .status());
    writer->Finish();
    return absl::OkStatus();
  }

  absl::Status CopyBlobs(const ServiceStore& service, const DigestSet& named) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BlobStore> blobs,
                               places_.OpenBlobs(service, clock_));
    DigestSet leave;
    for (const std::string& digest : Of(service).missing) {
      leave.Insert(digest);
    }
    FIELDLOOP_RETURN_IF_ERROR(blobs->ForEach([&leave](absl::string_view digest, absl::Time) {
      leave.Insert(digest);
      return absl::OkStatus();
    }));
    BlobCopier copier(*blobs);
    for (const std::string& digest : named.Sorted()) {
      if (!leave.Contains(digest)) {
        FIELDLOOP_RETURN_IF_ERROR(copier.Copy(place_.pool(), digest));
      }
    }
    return copier.Flush();
  }

  absl::Status CopyFiles() {
    std::vector<HomeFile> open;
    for (const BackupFile& file : manifest_.files) {
      FIELDLOOP_ASSIGN_OR_RETURN(std::string content, place_.pool().Get(file.digest));
      open.push_back({.path = file.path, .content = std::move(content)});
    }
    FIELDLOOP_RETURN_IF_ERROR(WriteHomeFiles(places_.home, open, /*secret=*/false));
    return WriteHomeFiles(places_.home, secrets_, /*secret=*/true);
  }

  // The schema of this program, what follows from the loss of time, and the end of the mark.
  absl::Status Finish(const ServiceStore& service) const {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database,
                               Open(service, static_cast<int>(service.migrations->size())));
    const std::int64_t age =
        std::max<std::int64_t>(0, absl::ToInt64Microseconds(clock_.Now() - manifest_.create_time));
    return database->Write([&](soci::session& session) {
      WithoutTimeouts(session);
      if (!options_.moved) {
        RunStatements(session,
                      absl::StrReplaceAll(service.restored_sql, {{":age", absl::StrCat(age)}}));
      }
      EndRestore(session);
      return absl::OkStatus();
    });
  }

  BackupPlace& place_;
  const BackupManifest& manifest_;
  const InstallationPlaces& places_;
  const RestoreOptions& options_;
  const Clock& clock_;
  const Say& say_;
  std::vector<HomeFile> secrets_;
};

}  // namespace

absl::Status RestoreBackup(BackupPlace& place, const BackupManifest& manifest,
                           const InstallationPlaces& places, const RestoreOptions& options,
                           const Clock& clock, const Say& say) {
  return Restore(place, manifest, places, options, clock, say).Run();
}

}  // namespace fieldloop::cli
