// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_SUPPORT_INGESTION_FAKES_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_SUPPORT_INGESTION_FAKES_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "migrations/ingestion_storage.h"
#include "services/common/access/access.h"
#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "services/common/sql/database.h"
#include "services/common/sync/mutex.h"
#include "services/ingestion/domain/upload_observer.h"
#include "services/ingestion/domain/upload_spool.h"

namespace fieldloop::ingestion {

// A new folder that goes away with the object.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fieldloop.XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A new SQLite database with the service's schema.
class SqliteDatabase {
 public:
  SqliteDatabase() {
    auto opened = Database::Open(
        {.connection = absl::StrCat("sqlite3://", folder_.path(), "/test.db")}, Migrations());
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status();
      std::abort();
    }
    database_ = *std::move(opened);
  }
  Database& get() { return *database_; }

 private:
  TempFolder folder_;
  std::unique_ptr<Database> database_;
};

// Keeps blobs in memory; full when told so.
class MemoryBlobStore final : public BlobStore {
 public:
  void set_full(bool full) {
    const MutexLock lock(mutex_);
    full_ = full;
  }
  // Changes a byte of a blob.
  void Damage(const std::string& digest) {
    const MutexLock lock(mutex_);
    blobs_.at(digest).at(0) ^= 1;
  }
  std::size_t size() {
    const MutexLock lock(mutex_);
    return blobs_.size();
  }

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create() override {
    return std::make_unique<Writer>(*this);
  }

  absl::StatusOr<std::vector<BlobInfo>> PutAll(const std::vector<BlobContent>& blobs) override {
    std::vector<BlobInfo> infos;
    for (const BlobContent& content : blobs) {
      Writer writer(*this);
      if (const absl::Status status = writer.Append(content.data); !status.ok()) {
        return status;
      }
      infos.push_back(*writer.Commit());
    }
    return infos;
  }

  absl::Status Read(absl::string_view digest, std::int64_t piece_bytes,
                    absl::FunctionRef<absl::Status(absl::string_view)> sink) override {
    std::string data;
    {
      const MutexLock lock(mutex_);
      const auto found = blobs_.find(std::string(digest));
      if (found == blobs_.end()) {
        return absl::NotFoundError("no such blob");
      }
      data = found->second;
    }
    for (std::size_t at = 0; at < data.size(); at += static_cast<std::size_t>(piece_bytes)) {
      const absl::Status status =
          sink(absl::string_view(data).substr(at, static_cast<std::size_t>(piece_bytes)));
      if (!status.ok()) {
        return status;
      }
    }
    return ToHex(Sha256Of(data)) == digest ? absl::OkStatus() : absl::DataLossError("damaged");
  }

  absl::StatusOr<std::string> ReadRange(absl::string_view digest, std::int64_t offset,
                                        std::int64_t length) override {
    const MutexLock lock(mutex_);
    const auto found = blobs_.find(std::string(digest));
    if (found == blobs_.end()) {
      return absl::NotFoundError("no such blob");
    }
    return found->second.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
  }

  absl::StatusOr<bool> Exists(absl::string_view digest) override {
    const MutexLock lock(mutex_);
    return blobs_.count(std::string(digest)) > 0;
  }

  absl::Status Delete(absl::string_view digest) override {
    const MutexLock lock(mutex_);
    blobs_.erase(std::string(digest));
    return absl::OkStatus();
  }

  // All were written at the epoch.
  absl::Status ForEach(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) override {
    std::vector<std::string> digests;
    {
      const MutexLock lock(mutex_);
      for (const auto& [digest, data] : blobs_) {
        digests.push_back(digest);
      }
    }
    for (const std::string& digest : digests) {
      const absl::Status status = sink(digest, absl::UnixEpoch());
      if (!status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

 private:
  class Writer final : public BlobWriter {
   public:
    explicit Writer(MemoryBlobStore& store) : store_(store) {}
    absl::Status Append(absl::string_view data) override {
      const MutexLock lock(store_.mutex_);
      if (store_.full_) {
        return absl::ResourceExhaustedError("disk full; free some space and repeat");
      }
      data_.append(data.data(), data.size());
      return absl::OkStatus();
    }
    absl::StatusOr<BlobInfo> Commit() override {
      BlobInfo info{.digest = ToHex(Sha256Of(data_)),
                    .size_bytes = static_cast<std::int64_t>(data_.size())};
      const MutexLock lock(store_.mutex_);
      store_.blobs_[info.digest] = std::move(data_);
      return info;
    }

   private:
    MemoryBlobStore& store_;
    std::string data_;
  };

  Mutex mutex_;
  bool full_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::string> blobs_ ABSL_GUARDED_BY(mutex_);
};

// Keeps uploads on their way in memory, for tests that are not about them: none can be resumed.
class MemoryUploadSpool final : public UploadSpool {
 public:
  absl::StatusOr<std::unique_ptr<SpooledFile>> CreateTemporary() override {
    return std::make_unique<File>();
  }
  absl::StatusOr<std::unique_ptr<SpooledFile>> Open(const UploadKey& /*key*/,
                                                    std::int64_t /*size_bytes*/,
                                                    std::int64_t /*offset*/) override {
    return absl::UnimplementedError("no upload can be resumed");
  }
  absl::StatusOr<PartialUpload> Find(const UploadKey& /*key*/) override {
    return absl::NotFoundError("no upload can be resumed");
  }

 private:
  class File final : public SpooledFile {
   public:
    absl::Status Append(absl::string_view data) override {
      data_.append(data.data(), data.size());
      return absl::OkStatus();
    }
    std::int64_t size_bytes() const override { return static_cast<std::int64_t>(data_.size()); }
    absl::StatusOr<absl::string_view> Bytes() override { return absl::string_view(data_); }
    void Remove() override {}

   private:
    std::string data_;
  };
};

// Counts what it hears.
class CountingObserver final : public UploadObserver {
 public:
  void SampleStored(SampleSource /*source*/, SampleFormat /*format*/,
                    std::int64_t size_bytes) override {
    const MutexLock lock(mutex_);
    ++stored_;
    bytes_ += size_bytes;
  }
  void UploadRefused(RefusalReason reason) override {
    const MutexLock lock(mutex_);
    ++refused_[reason];
  }
  int stored() {
    const MutexLock lock(mutex_);
    return stored_;
  }
  std::int64_t bytes() {
    const MutexLock lock(mutex_);
    return bytes_;
  }
  std::map<RefusalReason, int> refused() {
    const MutexLock lock(mutex_);
    return refused_;
  }

 private:
  Mutex mutex_;
  int stored_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<RefusalReason, int> refused_ ABSL_GUARDED_BY(mutex_);
};

// Knows tokens "ROLE:PROJECT", such as "ingest:motor", and "ROLE:" for all projects; and services
// as callers without a token. There are the projects "motor" and "pump".
class FakeAccess final : public Access {
 public:
  absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view resource,
                              Role role) override {
    std::string project;
    if (!resource.empty()) {
      const std::size_t end = resource.find('/', resource.find('/') + 1);
      project = std::string(resource.substr(0, end));
      if (!absl::StartsWith(project, "projects/")) {
        return absl::InvalidArgumentError("name: want projects/...");
      }
    }
    Grant grant;
    if (!caller.token.empty()) {
      const std::size_t colon = caller.token.find(':');
      if (colon == std::string::npos) {
        return absl::UnauthenticatedError("the API token is unknown, expired or revoked");
      }
      const std::map<std::string, Role> roles = {{"ingest", Role::kIngest},
                                                 {"viewer", Role::kViewer},
                                                 {"operator", Role::kOperator},
                                                 {"admin", Role::kAdmin}};
      if (roles.at(caller.token.substr(0, colon)) < role) {
        return absl::PermissionDeniedError("the API token's role does not suffice");
      }
      grant.principal = "apiTokens/" + caller.token.substr(0, colon);
      if (colon + 1 < caller.token.size()) {
        grant.project = "projects/" + caller.token.substr(colon + 1);
      }
      if (!grant.project.empty() && !project.empty() && grant.project != project) {
        return absl::PermissionDeniedError("the API token is for another project");
      }
    } else if (!caller.service.empty()) {
      grant.principal = "services/" + caller.service;
    } else {
      return absl::UnauthenticatedError("no credential");
    }
    if (!project.empty() && project != "projects/motor" && project != "projects/pump") {
      return absl::NotFoundError("no such project");
    }
    return grant;
  }
};

// `values` as float32, little endian.
inline std::string FloatBytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::vector<float> FloatsOf(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// A good CSV file of `readings` readings at 100 Hz; `seed` makes it differ from others.
inline std::string CsvFile(int readings, int seed = 0) {
  std::string text = "timestamp,x,y\n";
  for (int i = 0; i < readings; ++i) {
    absl::StrAppend(&text, i * 10, ",", seed * 1000 + i, ",", -i, "\n");
  }
  return text;
}

// Reads a file; empty if there is none.
inline std::string ReadWholeFile(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::string SharedData(const std::string& path) {
  return ReadWholeFile(absl::StrCat(FIELDLOOP_SHARED_DATA_DIR, "/", path));
}

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_SUPPORT_INGESTION_FAKES_H_
