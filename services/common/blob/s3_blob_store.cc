// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <pugixml.hpp>
#include <thread>
#include <unistd.h>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/blob/blob_store.h"
#include "services/common/blob/file.h"
#include "services/common/blob/s3_client.h"
#include "services/common/crypto/digest.h"
#include "services/common/crypto/sha256_hex.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

// Blobs above this size are uploaded in parts of it; at least 5 MiB by the API.
constexpr std::int64_t kPartBytes = 16 << 20;
// Bytes asked for at once by a reader of the whole blob; each request is repeated by itself.
constexpr std::int64_t kReadBytes = 8 << 20;
constexpr std::size_t kMaxParallel = 8;
constexpr int kOk = 200;
constexpr int kPartialContent = 206;
constexpr int kNotFound = 404;
constexpr int kPreconditionFailed = 412;
constexpr int kRangeNotSatisfiable = 416;
constexpr int kError = 400;

// A file without a name, for what is larger than memory should hold.
class Spool {
 public:
  static absl::StatusOr<Spool> Open() {
    const char* folder = std::getenv("TMPDIR");
    std::string path = absl::StrCat(folder != nullptr ? folder : "/tmp", "/fieldloop-XXXXXX");
    const int descriptor = ::mkostemp(path.data(), O_CLOEXEC);
    if (descriptor < 0) {
      return FileError("create", "a file in TMPDIR", errno);
    }
    ::unlink(path.c_str());
    return Spool(descriptor);
  }
  ~Spool() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  Spool(Spool&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Spool& operator=(Spool&&) = delete;

  absl::Status Append(absl::string_view data) {
    while (!data.empty()) {
      const ssize_t written = ::write(descriptor_, data.data(), data.size());
      if (written < 0 && errno != EINTR) {
        return FileError("write", "a file in TMPDIR", errno);
      }
      data.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Read(std::int64_t offset, std::int64_t size) const {
    std::string data(static_cast<std::size_t>(size), '\0');
    for (std::size_t filled = 0; filled < data.size();) {
      const ssize_t got = ::pread(descriptor_, data.data() + filled, data.size() - filled,
                                  offset + static_cast<std::int64_t>(filled));
      if (got == 0 || (got < 0 && errno != EINTR)) {
        return FileError("read", "a file in TMPDIR", errno);
      }
      filled += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    }
    return data;
  }

 private:
  explicit Spool(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

// `ab/cdef...`, so that stores which partition by name spread the load.
absl::StatusOr<std::string> KeyOf(absl::string_view digest) {
  if (!IsSha256Hex(digest)) {  // Never let another name from outside become a key.
    return absl::InvalidArgumentError(
        absl::StrCat("digest \"", digest.substr(0, 80), "\": want 64 lower-case hex digits"));
  }
  return absl::StrCat(digest.substr(0, 2), "/", digest.substr(2));
}

std::string Base64Of(absl::string_view hex_digest) {
  const absl::StatusOr<std::string> bytes = FromHex(hex_digest);
  return bytes.ok() ? absl::Base64Escape(*bytes) : "";
}

class S3BlobStore final : public BlobStore {
 public:
  explicit S3BlobStore(std::unique_ptr<S3Client> client) : client_(std::move(client)) {}

  absl::Status CheckBucket() {
    FIELDLOOP_ASSIGN_OR_RETURN(const S3Answer answer, client_->Send({.method = "HEAD"}));
    if (answer.status == kNotFound) {
      return absl::FailedPreconditionError(
          absl::StrCat("there is no bucket \"", client_->location().bucket, "\" at ",
                       client_->location().endpoint, "; make it first"));
    }
    return answer.status < kError ? absl::OkStatus() : Error(answer, "open a store");
  }

  absl::StatusOr<std::unique_ptr<BlobWriter>> Create() override {
    return std::make_unique<Writer>(*this);
  }

  absl::StatusOr<std::vector<BlobInfo>> PutAll(const std::vector<BlobContent>& blobs) override {
    std::vector<BlobInfo> infos(blobs.size());
    std::vector<absl::Status> statuses(blobs.size());
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t i = next++; i < blobs.size(); i = next++) {
        infos[i] = {
            .digest = blobs[i].digest.empty() ? ToHex(Sha256Of(blobs[i].data)) : blobs[i].digest,
            .size_bytes = static_cast<std::int64_t>(blobs[i].data.size())};
        statuses[i] = PutWhole(infos[i].digest, blobs[i].data);
      }
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < std::min(blobs.size(), kMaxParallel); ++i) {
      threads.emplace_back(work);
    }
    work();
    for (std::thread& thread : threads) {
      thread.join();
    }
    for (const absl::Status& status : statuses) {
      FIELDLOOP_RETURN_IF_ERROR(status);
    }
    return infos;
  }

  absl::Status Read(absl::string_view digest, std::int64_t piece_bytes,
                    absl::FunctionRef<absl::Status(absl::string_view)> sink) override {
    Sha256 hash;
    const std::int64_t step = std::max(piece_bytes, kReadBytes);
    for (std::int64_t offset = 0;;) {
      FIELDLOOP_ASSIGN_OR_RETURN(const std::string data, ReadRange(digest, offset, step));
      hash.Update(data);
      absl::string_view rest = data;
      while (!rest.empty()) {
        const absl::string_view piece = rest.substr(0, static_cast<std::size_t>(piece_bytes));
        FIELDLOOP_RETURN_IF_ERROR(sink(piece));
        rest.remove_prefix(piece.size());
      }
      offset += static_cast<std::int64_t>(data.size());
      if (static_cast<std::int64_t>(data.size()) < step) {
        break;
      }
    }
    if (ToHex(hash.Finish()) != digest) {
      return absl::DataLossError(absl::StrCat("blob ", digest, ": its bytes have changed"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadRange(absl::string_view digest, std::int64_t offset,
                                        std::int64_t length) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, KeyOf(digest));
    FIELDLOOP_ASSIGN_OR_RETURN(
        S3Answer answer,
        client_->Send(
            {.method = "GET",
             .key = key,
             .headers = {{"range", absl::StrCat("bytes=", offset, "-", offset + length - 1)}},
             // A server that does not know ranges sends it all, which is an error here.
             .max_answer_bytes =
                 std::max<std::size_t>(static_cast<std::size_t>(length), 1 << 16)}));
    if (answer.status == kRangeNotSatisfiable) {
      return std::string();  // From the end on; of an empty blob every range.
    }
    if (answer.status != kPartialContent &&
        !(answer.status == kOk && offset == 0 &&
          answer.body.size() <= static_cast<std::size_t>(length))) {
      return answer.status < kError
                 ? absl::InternalError("the bucket's server ignores the header Range")
                 : Error(answer, absl::StrCat("read ", digest));
    }
    return std::move(answer.body);
  }

  absl::StatusOr<bool> Exists(absl::string_view digest) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, KeyOf(digest));
    FIELDLOOP_ASSIGN_OR_RETURN(const S3Answer answer,
                               client_->Send({.method = "HEAD", .key = key}));
    if (answer.status == kNotFound) {
      return false;
    }
    return answer.status < kError ? absl::StatusOr<bool>(true)
                                  : Error(answer, absl::StrCat("look for ", digest));
  }

  absl::Status Delete(absl::string_view digest) override {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, KeyOf(digest));
    FIELDLOOP_ASSIGN_OR_RETURN(const S3Answer answer,
                               client_->Send({.method = "DELETE", .key = key}));
    return answer.status < kError || answer.status == kNotFound
               ? absl::OkStatus()
               : Error(answer, absl::StrCat("delete ", digest));
  }

  absl::Status ForEach(
      absl::FunctionRef<absl::Status(absl::string_view digest, absl::Time written)> sink) override {
    return client_->List("list blobs", [&](absl::string_view key, absl::Time written) {
      const std::string digest =
          absl::StrCat(key.substr(0, 2), key.substr(std::min<std::size_t>(key.size(), 3)));
      const absl::StatusOr<std::string> ours = KeyOf(digest);
      return ours.ok() && *ours == key ? sink(digest, written) : absl::OkStatus();
    });
  }

 private:
  class Writer final : public BlobWriter {
   public:
    explicit Writer(S3BlobStore& store) : store_(store) {}

    absl::Status Append(absl::string_view data) override {
      hash_.Update(data);
      size_bytes_ += static_cast<std::int64_t>(data.size());
      if (spool_ == nullptr && size_bytes_ > kPartBytes) {
        FIELDLOOP_ASSIGN_OR_RETURN(Spool opened, Spool::Open());
        spool_ = std::make_unique<Spool>(std::move(opened));
        FIELDLOOP_RETURN_IF_ERROR(spool_->Append(held_));
        held_ = std::string();
      }
      if (spool_ != nullptr) {
        return spool_->Append(data);
      }
      held_.append(data.data(), data.size());
      return absl::OkStatus();
    }

    absl::StatusOr<BlobInfo> Commit() override {
      BlobInfo info{.digest = ToHex(hash_.Finish()), .size_bytes = size_bytes_};
      FIELDLOOP_RETURN_IF_ERROR(spool_ == nullptr
                                    ? store_.PutWhole(info.digest, held_)
                                    : store_.PutInParts(info.digest, *spool_, size_bytes_));
      return info;
    }

   private:
    S3BlobStore& store_;
    Sha256 hash_;
    std::int64_t size_bytes_ = 0;
    std::string held_;  // Until it is more than one part.
    std::unique_ptr<Spool> spool_;
  };

  absl::Status Error(const S3Answer& answer, absl::string_view what) const {
    return S3Error(answer, client_->location(), what);
  }

  // The signature covers the digest, so the server refuses other bytes than these; and it keeps the
  // blob that is there already.
  absl::Status PutWhole(const std::string& digest, absl::string_view data) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, KeyOf(digest));
    FIELDLOOP_ASSIGN_OR_RETURN(
        const S3Answer answer,
        client_->Send(
            {.method = "PUT",
             .key = key,
             .headers = {{"if-none-match", "*"}, {"x-amz-checksum-sha256", Base64Of(digest)}},
             .body = data,
             .body_sha256 = digest}));
    return answer.status < kError || answer.status == kPreconditionFailed
               ? absl::OkStatus()
               : Error(answer, absl::StrCat("write ", digest));
  }

  absl::Status PutInParts(const std::string& digest, const Spool& spool, std::int64_t size) {
    FIELDLOOP_ASSIGN_OR_RETURN(const bool exists, Exists(digest));
    if (exists) {
      return absl::OkStatus();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, KeyOf(digest));
    const std::string what = absl::StrCat("write ", digest, " in parts");
    FIELDLOOP_ASSIGN_OR_RETURN(
        const S3Answer begun,
        client_->Send({.method = "POST", .key = key, .query = {{"uploads", ""}}}));
    if (begun.status >= kError) {
      return Error(begun, what);
    }
    pugi::xml_document document;
    document.load_buffer(begun.body.data(), begun.body.size());
    const std::string upload_id =
        document.child("InitiateMultipartUploadResult").child_value("UploadId");
    if (upload_id.empty()) {
      return absl::InternalError(absl::StrCat("cannot ", what, ": the server gave no UploadId"));
    }
    absl::Cleanup abort = [&] {
      static_cast<void>(
          client_->Send({.method = "DELETE", .key = key, .query = {{"uploadId", upload_id}}}));
    };
    std::string parts = "<CompleteMultipartUpload>";
    int number = 1;
    for (std::int64_t offset = 0; offset < size; offset += kPartBytes, ++number) {
      FIELDLOOP_ASSIGN_OR_RETURN(const std::string data,
                                 spool.Read(offset, std::min(kPartBytes, size - offset)));
      FIELDLOOP_ASSIGN_OR_RETURN(
          const S3Answer answer,
          client_->Send({.method = "PUT",
                         .key = key,
                         .query = {{"partNumber", absl::StrCat(number)}, {"uploadId", upload_id}},
                         .body = data}));
      const auto etag = answer.headers.find("etag");
      if (answer.status >= kError || etag == answer.headers.end()) {
        return Error(answer, what);
      }
      absl::StrAppend(&parts, "<Part><PartNumber>", number, "</PartNumber><ETag>", etag->second,
                      "</ETag></Part>");
    }
    absl::StrAppend(&parts, "</CompleteMultipartUpload>");
    FIELDLOOP_ASSIGN_OR_RETURN(
        const S3Answer completed,
        client_->Send(
            {.method = "POST", .key = key, .query = {{"uploadId", upload_id}}, .body = parts}));
    if (completed.status == kNotFound) {
      // Completed before, and its answer was lost?
      FIELDLOOP_ASSIGN_OR_RETURN(const bool complete, Exists(digest));
      return complete ? absl::OkStatus() : Error(completed, what);
    }
    // An error that comes late has status 200 too.
    document.load_buffer(completed.body.data(), completed.body.size());
    if (completed.status >= kError || document.child("CompleteMultipartUploadResult").empty()) {
      return Error(completed, what);
    }
    std::move(abort).Cancel();
    return absl::OkStatus();
  }

  const std::unique_ptr<S3Client> client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenS3BlobStore(std::unique_ptr<S3Client> client) {
  auto store = std::make_unique<S3BlobStore>(std::move(client));
  FIELDLOOP_RETURN_IF_ERROR(store->CheckBucket());
  return store;
}

}  // namespace fieldloop
