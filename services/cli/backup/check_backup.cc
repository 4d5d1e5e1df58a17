// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/check_backup.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/cli/backup/rows_file.h"
#include "services/common/crypto/sha256_hex.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr std::size_t kShownProblems = 20;
constexpr std::int64_t kPieceBytes = 1 << 20;

// What is found wrong, up to a number that a person reads.
class Problems {
 public:
  // Whether it is damage, which is noted, rather than a place that cannot be read at all.
  bool Note(const std::string& what, const absl::Status& status) {
    if (!absl::IsDataLoss(status) && !absl::IsNotFound(status)) {
      return false;
    }
    if (++count_ <= kShownProblems) {
      shown_.push_back(absl::StrCat(what, ": ", status.message()));
    }
    return true;
  }
  absl::Status Result(const std::string& id) const {
    return count_ == 0
               ? absl::OkStatus()
               : absl::DataLossError(absl::StrCat("backup ", id, " is damaged, ", count_,
                                                  " times:\n  ", absl::StrJoin(shown_, "\n  ")));
  }

 private:
  std::size_t count_ = 0;
  std::vector<std::string> shown_;
};

absl::Status ReadAll(BlobStore& pool, const std::string& digest) {
  return pool.Read(digest, kPieceBytes, [](absl::string_view) { return absl::OkStatus(); });
}

// Adds what the rows of a table name.
absl::Status CheckTable(BlobStore& pool, const BackupService& service, const BackupTable& table,
                        DigestSet& named) {
  std::vector<std::pair<std::string, std::string>> columns;
  for (const std::string& column : service.blob_columns) {
    columns.emplace_back(absl::StrSplit(column, absl::MaxSplits('.', 1)));
  }
  BlobColumns of_table({}, {});
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t rows, ReadRowsFile(
                                                          pool, table.digest,
                                                          [&](const TableShape& shape) {
                                                            of_table = BlobColumns(shape, columns);
                                                            return absl::OkStatus();
                                                          },
                                                          [&](const TableRow& row) {
                                                            of_table.AddNamed(row, named);
                                                            return absl::OkStatus();
                                                          }));
  return rows == table.rows
             ? absl::OkStatus()
             : absl::DataLossError(absl::StrCat("got ", rows, " rows, want ", table.rows));
}

}  // namespace

BlobColumns::BlobColumns(const TableShape& table,
                         const std::vector<std::pair<std::string, std::string>>& columns) {
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    for (const auto& [of_table, column] : columns) {
      if (of_table == table.name && column == table.columns[i].name) {
        places_.push_back(i);
      }
    }
  }
}

void BlobColumns::AddNamed(const TableRow& row, DigestSet& named) const {
  for (const std::size_t place : places_) {
    const auto* digest = std::get_if<std::string>(&row[place]);
    if (digest != nullptr && IsSha256Hex(*digest)) {
      named.Insert(*digest);
    }
  }
}

absl::Status AddAllNamed(BlobStore& pool, const BackupManifest& manifest, DigestSet& named) {
  for (const auto& [name, service] : manifest.services) {
    for (const BackupTable& table : service.tables) {
      named.Insert(table.digest);
      const absl::Status checked = CheckTable(pool, service, table, named);
      if (!checked.ok()) {
        return absl::Status(checked.code(), absl::StrCat("backup ", manifest.id, ": table ", name,
                                                         ".", table.name, ": ", checked.message()));
      }
    }
  }
  for (const BackupFile& file : manifest.files) {
    named.Insert(file.digest);
  }
  if (!manifest.secrets.empty()) {
    named.Insert(manifest.secrets);
  }
  return absl::OkStatus();
}

absl::Status CheckBackup(BlobStore& pool, const BackupManifest& manifest) {
  Problems problems;
  for (const auto& [name, service] : manifest.services) {
    DigestSet named;
    for (const BackupTable& table : service.tables) {
      const absl::Status checked = CheckTable(pool, service, table, named);
      if (!checked.ok() && !problems.Note(absl::StrCat("table ", name, ".", table.name), checked)) {
        return checked;
      }
    }
    DigestSet missing;
    for (const std::string& digest : service.missing) {
      missing.Insert(digest);
    }
    for (const std::string& digest : named.Sorted()) {
      const absl::Status read = missing.Contains(digest) ? absl::OkStatus() : ReadAll(pool, digest);
      if (!read.ok() && !problems.Note(absl::StrCat("a blob of ", name), read)) {
        return read;
      }
    }
  }
  std::vector<BackupFile> files = manifest.files;
  if (!manifest.secrets.empty()) {
    files.push_back({.path = "the sealed keys", .digest = manifest.secrets});
  }
  for (const BackupFile& file : files) {
    const absl::Status read = ReadAll(pool, file.digest);
    if (!read.ok() && !problems.Note(file.path, read)) {
      return read;
    }
  }
  return problems.Result(manifest.id);
}

}  // namespace fieldloop::cli
