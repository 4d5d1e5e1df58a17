// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/backup_place.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/file.h>
#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/cli/commands/arguments.h"
#include "services/common/blob/file.h"
#include "services/common/blob/folder_blob_reader.h"
#include "services/common/blob/open_bucket.h"
#include "services/common/blob/s3_client.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr char kBlobs[] = "blobs";
constexpr char kManifests[] = "manifests";
constexpr char kEnding[] = ".json";
constexpr char kVariables[] = "FIELDLOOP_BACKUP_";
constexpr std::size_t kMaxManifestBytes = 64 << 20;
constexpr int kError = 400;
constexpr int kNotFound = 404;

class FolderPlace final : public BackupPlace {
 public:
  static absl::StatusOr<std::unique_ptr<BackupPlace>> Open(const std::string& folder,
                                                           bool may_write) {
    const std::string blobs = absl::StrCat(folder, "/", kBlobs);
    if (!may_write) {
      if (std::error_code error; !std::filesystem::is_directory(blobs, error)) {
        return absl::NotFoundError(absl::StrCat("there are no backups in ", folder,
                                                ", want a place of `fieldloop backup`"));
      }
      FIELDLOOP_ASSIGN_OR_RETURN(auto pool, OpenFolderBlobReader(blobs));
      return std::unique_ptr<BackupPlace>(new FolderPlace(folder, std::move(pool), nullptr));
    }
    std::error_code error;
    const bool made = std::filesystem::create_directories(folder, error);
    if (made && !error && ::chmod(folder.c_str(), S_IRWXU) != 0) {
      error = std::error_code(errno, std::generic_category());
    }
    if (!error) {
      std::filesystem::create_directories(absl::StrCat(folder, "/", kManifests), error);
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot make ", folder, ": ", error.message()));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<File> lock, OpenFolder(folder));
    if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("another program writes to ", folder, "; wait for its end"));
    }
    FIELDLOOP_ASSIGN_OR_RETURN(auto pool, OpenFolderBlobStore(blobs));
    return std::unique_ptr<BackupPlace>(new FolderPlace(folder, std::move(pool), std::move(lock)));
  }

  BlobStore& pool() override { return *pool_; }

  absl::StatusOr<std::vector<std::string>> ListIds() override {
    std::vector<std::string> ids;
    std::error_code error;
    std::filesystem::directory_iterator entry(absl::StrCat(folder_, "/", kManifests), error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      if (entry->path().extension() == kEnding) {
        ids.push_back(entry->path().stem().string());
      }
    }
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot list ", folder_, ": ", error.message()));
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  absl::Status Delete(const std::string& id) override {
    if (::unlink(PathOf(id).c_str()) != 0) {
      return FileError("delete", PathOf(id), errno);
    }
    return SyncManifests();
  }

 protected:
  absl::StatusOr<std::string> ReadManifest(const std::string& id) override {
    if (::access(PathOf(id).c_str(), F_OK) != 0) {
      return absl::NotFoundError("");
    }
    return ReadFile(PathOf(id));
  }

  absl::Status WriteManifest(const std::string& id, const std::string& text) override {
    FIELDLOOP_RETURN_IF_ERROR(WriteFile(PathOf(id), text, 0600));
    return SyncManifests();
  }

 private:
  FolderPlace(std::string folder, std::unique_ptr<BlobStore> pool, std::unique_ptr<File> lock)
      : folder_(std::move(folder)), pool_(std::move(pool)), lock_(std::move(lock)) {}

  std::string PathOf(const std::string& id) const {
    return absl::StrCat(folder_, "/", kManifests, "/", id, kEnding);
  }

  absl::Status SyncManifests() const {
    const std::string path = absl::StrCat(folder_, "/", kManifests);
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<File> manifests, OpenFolder(path));
    return ::fsync(manifests->get()) == 0 ? absl::OkStatus() : FileError("sync", path, errno);
  }

  const std::string folder_;
  const std::unique_ptr<BlobStore> pool_;
  const std::unique_ptr<File> lock_;
};

class BucketPlace final : public BackupPlace {
 public:
  BucketPlace(std::unique_ptr<BlobStore> pool, std::unique_ptr<S3Client> manifests)
      : pool_(std::move(pool)), manifests_(std::move(manifests)) {}

  BlobStore& pool() override { return *pool_; }

  absl::StatusOr<std::vector<std::string>> ListIds() override {
    std::vector<std::string> ids;
    FIELDLOOP_RETURN_IF_ERROR(
        manifests_->List("list backups", [&ids](absl::string_view key, absl::Time /*written*/) {
          if (absl::ConsumeSuffix(&key, kEnding)) {
            ids.emplace_back(key);
          }
          return absl::OkStatus();
        }));
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  absl::Status Delete(const std::string& id) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const S3Answer answer,
                               manifests_->Send({.method = "DELETE", .key = id + kEnding}));
    return Check(answer, "delete a backup");
  }

 protected:
  absl::StatusOr<std::string> ReadManifest(const std::string& id) override {
    FIELDLOOP_ASSIGN_OR_RETURN(
        S3Answer answer,
        manifests_->Send(
            {.method = "GET", .key = id + kEnding, .max_answer_bytes = kMaxManifestBytes}));
    if (answer.status == kNotFound) {
      return absl::NotFoundError("");
    }
    FIELDLOOP_RETURN_IF_ERROR(Check(answer, "read a backup"));
    return std::move(answer.body);
  }

  absl::Status WriteManifest(const std::string& id, const std::string& text) override {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const S3Answer answer,
        manifests_->Send({.method = "PUT", .key = id + kEnding, .body = text}));
    return Check(answer, "write a backup");
  }

 private:
  absl::Status Check(const S3Answer& answer, absl::string_view what) const {
    return answer.status < kError ? absl::OkStatus()
                                  : S3Error(answer, manifests_->location(), what);
  }

  const std::unique_ptr<BlobStore> pool_;
  const std::unique_ptr<S3Client> manifests_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BackupPlace>> BackupPlace::Open(const std::string& place,
                                                               bool may_write, const Clock& clock) {
  if (!absl::StartsWith(place, "s3://")) {
    return FolderPlace::Open(place, may_write);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(auto blobs, OpenBucket(place, kBlobs, clock, kVariables));
  FIELDLOOP_ASSIGN_OR_RETURN(auto pool, OpenS3BlobStore(std::move(blobs)));
  FIELDLOOP_ASSIGN_OR_RETURN(auto manifests, OpenBucket(place, kManifests, clock, kVariables));
  return std::make_unique<BucketPlace>(std::move(pool), std::move(manifests));
}

absl::StatusOr<BackupManifest> BackupPlace::Get(const std::string& id) {
  // Never let another name from outside become a path or a key.
  if (!std::all_of(id.begin(), id.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
      })) {
    return absl::InvalidArgumentError(
        absl::StrCat("--id: got \"", id, "\", want one of `fieldloop backup list`"));
  }
  const absl::StatusOr<std::string> text = ReadManifest(id);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("there is no backup ", id));
  }
  FIELDLOOP_RETURN_IF_ERROR(text.status());
  absl::StatusOr<BackupManifest> manifest = ParseManifest(*text);
  if (!manifest.ok()) {
    return absl::Status(manifest.status().code(),
                        absl::StrCat("backup ", id, ": ", manifest.status().message()));
  }
  return manifest;
}

absl::StatusOr<BackupManifest> BackupPlace::Find(const std::string& id) {
  if (!id.empty()) {
    return Get(id);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> ids, ListIds());
  if (ids.empty()) {
    return absl::NotFoundError("there is no complete backup here");
  }
  return Get(ids.back());
}

absl::Status BackupPlace::Put(const BackupManifest& manifest) {
  return WriteManifest(manifest.id, ManifestText(manifest));
}

}  // namespace fieldloop::cli
