// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/storage/blob_artifact_cache.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {
namespace {

// As trust.proto says of ReleaseComponent: a backend that streams without an end fills no disk.
constexpr std::int64_t kMaxArtifactBytes = 16 << 20;

class BlobArtifactCache final : public ArtifactCache {
 public:
  BlobArtifactCache(BlobStore& blobs, ReleaseRegistry& registry)
      : blobs_(blobs), registry_(registry) {}

  bool Has(const std::string& digest) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (here_.count(digest) != 0) {
        return true;
      }
    }
    if (!blobs_.Exists(digest).value_or(false)) {
      return false;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    here_.insert(digest);
    return true;
  }

  absl::Status Fetch(const std::string& project, const std::string& digest) override {
    while (true) {
      if (Has(digest)) {
        return absl::OkStatus();
      }
      std::unique_lock<std::mutex> lock(mutex_);
      if (fetching_.insert(digest).second) {
        break;
      }
      fetched_.wait(lock, [&] { return fetching_.count(digest) == 0; });
      lock.unlock();
      if (!Has(digest)) {
        // Whoever fetched it has failed: so would the next one, at once.
        return absl::UnavailableError(absl::StrCat("artifact ", digest, " cannot be fetched"));
      }
    }
    const absl::Status status = Download(project, digest);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      fetching_.erase(digest);
    }
    fetched_.notify_all();
    return status;
  }

  absl::StatusOr<std::string> Read(const std::string& digest, std::int64_t offset,
                                   std::int64_t length) override {
    return blobs_.ReadRange(digest, offset, length);
  }

 private:
  absl::Status Download(const std::string& project, const std::string& digest) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, blobs_.Create());
    std::int64_t size = 0;
    FIELDLOOP_RETURN_IF_ERROR(
        registry_.DownloadArtifact(project, digest, [&](absl::string_view data) -> absl::Status {
          size += static_cast<std::int64_t>(data.size());
          if (size > kMaxArtifactBytes) {
            return absl::DataLossError(absl::StrCat("artifact ", digest, " is too large"));
          }
          return writer->Append(data);
        }));
    // Committed under the digest that the bytes have: wrong bytes harm nobody, they are just not
    // what was asked for.
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo blob, writer->Commit());
    if (blob.digest != digest) {
      return absl::DataLossError(absl::StrCat("artifact: got ", blob.digest, ", want ", digest));
    }
    return absl::OkStatus();
  }

  BlobStore& blobs_;
  ReleaseRegistry& registry_;
  std::mutex mutex_;
  std::condition_variable fetched_;
  std::set<std::string> fetching_;
  std::set<std::string> here_;
};

}  // namespace

std::unique_ptr<ArtifactCache> MakeBlobArtifactCache(BlobStore& blobs, ReleaseRegistry& registry) {
  return std::make_unique<BlobArtifactCache>(blobs, registry);
}

}  // namespace fieldloop::distribution
