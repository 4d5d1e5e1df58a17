// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/make_backup.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <soci/soci.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "services/cli/backup/blob_copier.h"
#include "services/cli/backup/check_backup.h"
#include "services/cli/backup/digest_set.h"
#include "services/cli/backup/home_files.h"
#include "services/cli/backup/rows_file.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/sealed.h"
#include "services/common/sql/database_backup.h"
#include "services/common/sql/table_copy.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr std::size_t kShownMissing = 10;
constexpr std::size_t kPieceBytes = 256 << 10;

struct Source {
  const ServiceStore* service = nullptr;
  std::unique_ptr<Database> database;
  std::unique_ptr<BlobStore> blobs;
  DigestSet named;
};

absl::Status CheckSchema(const ServiceStore& service, int schema) {
  const int known = static_cast<int>(service.migrations->size());
  return schema <= known ? absl::OkStatus()
                         : absl::FailedPreconditionError(absl::StrCat(
                               "the database of ", service.name, " has schema ", schema,
                               ", this program knows ", known, ": use the installation's own"));
}

class Backup {
 public:
  Backup(const InstallationPlaces& places, BackupPlace& place, const BackupOptions& options,
         const Clock& clock, const Say& say)
      : places_(places),
        place_(place),
        options_(options),
        clock_(clock),
        say_(say),
        copier_(place.pool()) {}

  absl::StatusOr<BackupManifest> Run() {
    FIELDLOOP_RETURN_IF_ERROR(Open());
    FIELDLOOP_RETURN_IF_ERROR(place_.pool().ForEach([this](absl::string_view digest, absl::Time) {
      have_.Insert(digest);
      return absl::OkStatus();
    }));
    FIELDLOOP_RETURN_IF_ERROR(CopyAhead());
    FIELDLOOP_RETURN_IF_ERROR(Snapshot(0));
    FIELDLOOP_RETURN_IF_ERROR(CopyNamed());
    FIELDLOOP_RETURN_IF_ERROR(CopyFiles());
    FIELDLOOP_RETURN_IF_ERROR(copier_.Flush());
    manifest_.program = FIELDLOOP_VERSION;
    FIELDLOOP_RETURN_IF_ERROR(place_.Put(manifest_));
    return std::move(manifest_);
  }

 private:
  absl::Status Open() {
    for (const ServiceStore& service : ServiceStores()) {
      Source& source = sources_.emplace_back();
      source.service = &service;
      absl::StatusOr<std::unique_ptr<Database>> database =
          OpenDatabaseAsItIs(places_.DatabaseOf(service));
      if (absl::IsNotFound(database.status())) {
        return absl::FailedPreconditionError(
            absl::StrCat("no installation at ", places_.home, ": ", database.status().message(),
                         "; name its folder with --home, or its database with --database"));
      }
      FIELDLOOP_RETURN_IF_ERROR(database.status());
      source.database = *std::move(database);
      if (!service.blob_folder.empty()) {
        absl::StatusOr<std::unique_ptr<BlobStore>> blobs = places_.OpenBlobsToRead(service, clock_);
        if (absl::IsNotFound(blobs.status())) {
          return absl::FailedPreconditionError(
              absl::StrCat(blobs.status().message(), ", where ", service.name,
                           " keeps its blobs; name the folder with --home, or a bucket with "
                           "--blobs"));
        }
        FIELDLOOP_RETURN_IF_ERROR(blobs.status());
        source.blobs = *std::move(blobs);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CopyAhead() {
    for (const Source& source : sources_) {
      if (source.blobs == nullptr) {
        continue;
      }
      const auto take = [&](absl::string_view digest, absl::Time) -> absl::Status {
        if (have_.Contains(digest)) {
          return absl::OkStatus();
        }
        const absl::Status copied = copier_.Copy(*source.blobs, std::string(digest));
        if (absl::IsNotFound(copied) || absl::IsDataLoss(copied)) {
          return absl::OkStatus();  // Whether a row needs it is seen later.
        }
        FIELDLOOP_RETURN_IF_ERROR(copied);
        have_.Insert(digest);
        return absl::OkStatus();
      };
      FIELDLOOP_RETURN_IF_ERROR(source.blobs->ForEach(take));
    }
    return copier_.Flush();
  }

  // Begins the transactions one in the other, then reads in all of them.
  absl::Status Snapshot(std::size_t next) {
    if (next == sources_.size()) {
      manifest_.create_time = clock_.Now();
      manifest_.id = absl::StrCat(
          absl::FormatTime("%Y%m%dT%H%M%SZ", manifest_.create_time, absl::UTCTimeZone()), "-",
          ToHex(RandomBytes(4)));
      for (const auto& [source, session] : sessions_) {
        FIELDLOOP_RETURN_IF_ERROR(CopyTables(*source, *session));
      }
      return absl::OkStatus();
    }
    Source& source = sources_[next];
    return source.database->Read([&](soci::session& session) -> absl::Status {
      WithoutTimeouts(session);
      if (!HasSchema(session)) {  // This takes the snapshot.
        return absl::FailedPreconditionError(
            absl::StrCat("no installation: the database has no tables of ", source.service->name));
      }
      if (IsBeingRestored(session)) {
        return absl::FailedPreconditionError(
            absl::StrCat("a restore into the database of ", source.service->name, " did not end"));
      }
      const int schema = SchemaNumber(session);
      FIELDLOOP_RETURN_IF_ERROR(CheckSchema(*source.service, schema));
      manifest_.services[source.service->name].schema = schema;
      sessions_.emplace_back(&source, &session);
      return Snapshot(next + 1);
    });
  }

  absl::Status CopyTables(Source& source, soci::session& session) {
    FIELDLOOP_ASSIGN_OR_RETURN(std::vector<TableShape> tables, ListTables(session));
    std::sort(tables.begin(), tables.end(),
              [](const TableShape& a, const TableShape& b) { return a.name < b.name; });
    BackupService& service = manifest_.services[source.service->name];
    for (const auto& [table, column] : source.service->blob_columns) {
      service.blob_columns.push_back(absl::StrCat(table, ".", column));
    }
    std::int64_t rows = 0;
    for (const TableShape& table : tables) {
      FIELDLOOP_ASSIGN_OR_RETURN(BackupTable copied, CopyTable(source, session, table));
      rows += copied.rows;
      service.tables.push_back(std::move(copied));
    }
    service.blobs = static_cast<std::int64_t>(source.named.size());
    say_(absl::StrCat(source.service->name, ": ", rows, " rows of ", tables.size(), " tables",
                      source.blobs == nullptr ? "" : absl::StrCat(", ", service.blobs, " blobs")));
    return absl::OkStatus();
  }

  absl::StatusOr<BackupTable> CopyTable(Source& source, soci::session& session,
                                        const TableShape& table) {
    const BlobColumns columns(table, source.service->blob_columns);
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, place_.pool().Create());
    std::string lines = HeaderLine(table);
    std::int64_t rows = 0;
    FIELDLOOP_RETURN_IF_ERROR(ReadTable(session, table, [&](const TableRow& row) -> absl::Status {
      ++rows;
      columns.AddNamed(row, source.named);
      lines += RowLine(table, row);
      if (lines.size() < kPieceBytes) {
        return absl::OkStatus();
      }
      return writer->Append(std::exchange(lines, {}));
    }));
    FIELDLOOP_RETURN_IF_ERROR(writer->Append(lines));
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo info, writer->Commit());
    return BackupTable{
        .name = table.name, .digest = info.digest, .rows = rows, .size_bytes = info.size_bytes};
  }

  absl::Status CopyNamed() {
    std::vector<std::string> missing;
    for (Source& source : sources_) {
      BackupService& service = manifest_.services[source.service->name];
      for (const std::string& digest : source.named.Sorted()) {
        if (have_.Contains(digest)) {
          continue;
        }
        const absl::Status copied = copier_.Copy(*source.blobs, digest);
        if (absl::IsNotFound(copied) || absl::IsDataLoss(copied)) {
          service.missing.push_back(digest);
          missing.push_back(absl::StrCat(source.service->name, ": ", copied.message()));
          continue;
        }
        FIELDLOOP_RETURN_IF_ERROR(copied);
        have_.Insert(digest);
      }
    }
    FIELDLOOP_RETURN_IF_ERROR(copier_.Flush());
    say_(absl::StrCat("copied ", copier_.count(), " blobs that were new, ",
                      absl::StrFormat("%.1f", static_cast<double>(copier_.bytes()) / 1e6), " MB"));
    if (missing.empty()) {
      return absl::OkStatus();
    }
    const std::size_t count = missing.size();
    missing.resize(std::min(count, kShownMissing));
    const std::string text =
        absl::StrCat(count, " blobs that rows name are lost:\n  ", absl::StrJoin(missing, "\n  "));
    if (!options_.despite_missing) {
      return absl::DataLossError(absl::StrCat(
          text, "\nearlier backups may have them; --despite-missing makes this one without"));
    }
    say_(text);
    return absl::OkStatus();
  }

  absl::Status CopyFiles() {
    FIELDLOOP_ASSIGN_OR_RETURN(const HomeFiles files,
                               ReadHomeFiles(places_.home, options_.with_release_keys));
    for (const HomeFile& file : files.open) {
      FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo info, place_.pool().Put(file.content));
      manifest_.files.push_back({.path = file.path, .digest = info.digest});
    }
    if (options_.passphrase.empty() || files.secrets.empty()) {
      return absl::OkStatus();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(
        const BlobInfo info,
        place_.pool().Put(Seal(options_.passphrase, BundleText(files.secrets))));
    manifest_.secrets = info.digest;
    for (const HomeFile& file : files.secrets) {
      manifest_.secret_files.push_back(file.path);
    }
    return absl::OkStatus();
  }

  const InstallationPlaces& places_;
  BackupPlace& place_;
  const BackupOptions& options_;
  const Clock& clock_;
  const Say& say_;
  std::vector<Source> sources_;
  std::vector<std::pair<Source*, soci::session*>> sessions_;
  DigestSet have_;  // In the pool.
  BlobCopier copier_;
  BackupManifest manifest_;
};

}  // namespace

absl::StatusOr<BackupManifest> MakeBackup(const InstallationPlaces& places, BackupPlace& place,
                                          const BackupOptions& options, const Clock& clock,
                                          const Say& say) {
  return Backup(places, place, options, clock, say).Run();
}

absl::Status PruneBackups(BackupPlace& place, int keep, const Say& say) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> ids, place.ListIds());
  const std::size_t kept = std::min(ids.size(), static_cast<std::size_t>(std::max(keep, 1)));
  const std::size_t gone = ids.size() - kept;
  if (gone == 0) {
    return absl::OkStatus();
  }
  DigestSet named;
  for (std::size_t i = gone; i < ids.size(); ++i) {
    FIELDLOOP_ASSIGN_OR_RETURN(const BackupManifest manifest, place.Get(ids[i]));
    FIELDLOOP_RETURN_IF_ERROR(AddAllNamed(place.pool(), manifest, named));
  }
  for (std::size_t i = 0; i < gone; ++i) {
    FIELDLOOP_RETURN_IF_ERROR(place.Delete(ids[i]));
  }
  std::vector<std::string> unnamed;
  FIELDLOOP_RETURN_IF_ERROR(place.pool().ForEach([&](absl::string_view digest, absl::Time) {
    if (!named.Contains(digest)) {
      unnamed.emplace_back(digest);
    }
    return absl::OkStatus();
  }));
  for (const std::string& digest : unnamed) {
    FIELDLOOP_RETURN_IF_ERROR(place.pool().Delete(digest));
  }
  say(absl::StrCat("deleted ", gone, " older backups and ", unnamed.size(), " blobs of theirs"));
  return absl::OkStatus();
}

}  // namespace fieldloop::cli
