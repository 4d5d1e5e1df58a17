// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/storage/folder_upload_spool.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/mman.h>
#include <sys/stat.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/common/sync/mutex.h"
#include "services/ingestion/domain/sample_service.h"

namespace fieldloop::ingestion {
namespace {

// A resumable upload's file begins with the size of the whole file, in the machine's order: it
// never leaves the machine.
constexpr std::int64_t kHeaderBytes = sizeof(std::int64_t);
constexpr char kEnding[] = ".part";

absl::Status FileError(absl::string_view what, int error) {
  const std::string message = absl::StrCat("cannot ", what, " an upload: ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(absl::StrCat(message, "; free some space and repeat"));
  }
  return absl::UnavailableError(message);
}

absl::Status WriteAll(int descriptor, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(descriptor, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return FileError("write", errno);
    }
    data.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

// An open file: its descriptor, and its bytes in memory once they are asked for.
class MappedFile {
 public:
  explicit MappedFile(int descriptor) : descriptor_(descriptor) {}
  ~MappedFile() {
    Unmap();
    ::close(descriptor_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  int descriptor() const { return descriptor_; }

  absl::StatusOr<absl::string_view> Map() {
    Unmap();
    struct stat info {};
    if (::fstat(descriptor_, &info) != 0) {
      return FileError("read", errno);
    }
    const auto size = static_cast<std::size_t>(info.st_size);
    if (size > 0) {
      void* const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor_, 0);
      if (start == MAP_FAILED) {
        return FileError("read", errno);
      }
      mapped_ = absl::string_view(static_cast<const char*>(start), size);
    }
    return mapped_;
  }

 private:
  void Unmap() {
    if (!mapped_.empty()) {
      ::munmap(const_cast<char*>(mapped_.data()), mapped_.size());
      mapped_ = {};
    }
  }

  const int descriptor_;
  absl::string_view mapped_;
};

class TemporaryFile final : public SpooledFile {
 public:
  explicit TemporaryFile(int descriptor) : file_(descriptor) {}

  absl::Status Append(absl::string_view data) override {
    size_bytes_ += static_cast<std::int64_t>(data.size());
    return WriteAll(file_.descriptor(), data);
  }
  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::StatusOr<absl::string_view> Bytes() override { return file_.Map(); }
  void Remove() override {}  // It has no name.

 private:
  MappedFile file_;
  std::int64_t size_bytes_ = 0;
};

// A resumable upload that some call writes to or wrote to.
struct OpenUpload {
  Mutex mutex;
  std::int64_t writer ABSL_GUARDED_BY(mutex) = 0;  // The newest; others are cut off.
};

class ResumableFile final : public SpooledFile {
 public:
  ResumableFile(std::shared_ptr<OpenUpload> upload, std::int64_t writer, std::string path,
                int descriptor, std::int64_t size_bytes, const Clock& clock)
      : upload_(std::move(upload)),
        writer_(writer),
        path_(std::move(path)),
        file_(descriptor),
        size_bytes_(size_bytes),
        clock_(clock) {
    Touch();
  }

  ~ResumableFile() override { Touch(); }

  absl::Status Append(absl::string_view data) override {
    const MutexLock lock(upload_->mutex);
    if (upload_->writer != writer_) {
      return ErrorWithReason(absl::StatusCode::kAborted, kUploadTakenOver,
                             "another call goes on with this upload");
    }
    FIELDLOOP_RETURN_IF_ERROR(WriteAll(file_.descriptor(), data));
    size_bytes_ += static_cast<std::int64_t>(data.size());
    return absl::OkStatus();
  }

  std::int64_t size_bytes() const override { return size_bytes_; }

  absl::StatusOr<absl::string_view> Bytes() override {
    FIELDLOOP_ASSIGN_OR_RETURN(absl::string_view bytes, file_.Map());
    bytes.remove_prefix(kHeaderBytes);
    return bytes;
  }

  void Remove() override {
    const MutexLock lock(upload_->mutex);
    if (upload_->writer == writer_) {
      ::unlink(path_.c_str());
    }
  }

 private:
  // The time of the file says when its day begins.
  void Touch() const {
    const timespec now = absl::ToTimespec(clock_.Now());
    const timespec times[] = {now, now};
    ::futimens(file_.descriptor(), times);
  }

  const std::shared_ptr<OpenUpload> upload_;
  const std::int64_t writer_;
  const std::string path_;
  MappedFile file_;
  std::int64_t size_bytes_;
  const Clock& clock_;
};

// What the file of a resumable upload says; nullopt for a file that a crash left without a header.
struct PartialFile {
  std::int64_t held_bytes = 0;
  std::int64_t size_bytes = 0;
  absl::Time change_time;
};

std::optional<PartialFile> ReadPartial(int descriptor) {
  struct stat info {};
  PartialFile partial;
  if (::fstat(descriptor, &info) != 0 ||
      ::pread(descriptor, &partial.size_bytes, kHeaderBytes, 0) != kHeaderBytes) {
    return std::nullopt;
  }
  partial.held_bytes = info.st_size - kHeaderBytes;
  partial.change_time = absl::TimeFromTimespec(info.st_mtim);
  return partial;
}

class FolderUploadSpool final : public UploadSpool {
 public:
  FolderUploadSpool(std::string folder, const Clock& clock, SpoolLimits limits)
      : folder_(std::move(folder)), clock_(clock), limits_(limits) {}

  absl::StatusOr<std::unique_ptr<SpooledFile>> CreateTemporary() override {
    const std::string path = absl::StrCat(folder_, "/", ToHex(RandomBytes(16)));
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) {
      return FileError("begin", errno);
    }
    ::unlink(path.c_str());
    return std::make_unique<TemporaryFile>(descriptor);
  }

  absl::StatusOr<std::unique_ptr<SpooledFile>> Open(const UploadKey& key, std::int64_t size_bytes,
                                                    std::int64_t offset) override {
    const std::string path = PathOf(key);
    const std::shared_ptr<OpenUpload> upload = Enter(path);
    const MutexLock lock(upload->mutex);
    int descriptor = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
    std::optional<PartialFile> partial;
    if (descriptor >= 0) {
      partial = ReadPartial(descriptor);
      if (!partial.has_value() || IsOver(*partial)) {
        ::close(descriptor);
        ::unlink(path.c_str());
        descriptor = -1;
        partial.reset();
      }
    } else if (errno != ENOENT) {
      return FileError("open", errno);
    }
    const std::int64_t held = partial.has_value() ? partial->held_bytes : 0;
    absl::Status status;
    if (offset != held) {
      status = ErrorWithReason(absl::StatusCode::kFailedPrecondition, kOffsetMismatch,
                               absl::StrCat("offset: got ", offset, ", want ", held));
    } else if (partial.has_value() && partial->size_bytes != size_bytes) {
      status = absl::InvalidArgumentError(absl::StrCat(
          "size_bytes: got ", size_bytes, ", want ", partial->size_bytes, " as in the first call"));
    } else if (!partial.has_value()) {
      status = MakeRoom(size_bytes);
      if (status.ok()) {
        descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
        status = descriptor < 0 ? FileError("begin", errno)
                                : WriteAll(descriptor, {reinterpret_cast<const char*>(&size_bytes),
                                                        static_cast<std::size_t>(kHeaderBytes)});
      }
    }
    if (!status.ok()) {
      ::close(descriptor);
      return status;
    }
    return std::make_unique<ResumableFile>(upload, ++upload->writer, path, descriptor, held,
                                           clock_);
  }

  absl::StatusOr<PartialUpload> Find(const UploadKey& key) override {
    const std::string path = PathOf(key);
    const std::shared_ptr<OpenUpload> upload = Enter(path);
    const MutexLock lock(upload->mutex);
    const MappedFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const std::optional<PartialFile> partial =
        file.descriptor() < 0 ? std::nullopt : ReadPartial(file.descriptor());
    if (!partial.has_value() || partial->held_bytes == 0 || IsOver(*partial)) {
      return absl::NotFoundError(
          absl::StrCat("no upload projects/", key.project, "/uploads/", key.upload_id));
    }
    // Also its name must last.
    const MappedFile folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (::fsync(file.descriptor()) != 0 || ::fsync(folder.descriptor()) != 0) {
      return FileError("sync", errno);
    }
    return PartialUpload{.safe_bytes = partial->held_bytes,
                         .size_bytes = partial->size_bytes,
                         .expire_time = partial->change_time + limits_.keep};
  }

 private:
  std::string PathOf(const UploadKey& key) const {
    return absl::StrCat(folder_, "/",
                        ToHex(Sha256Of(absl::StrCat(key.project, "/", key.upload_id))), kEnding);
  }

  bool IsOver(const PartialFile& partial) const {
    return partial.change_time + limits_.keep <= clock_.Now();
  }

  // The state that all calls about one upload share.
  std::shared_ptr<OpenUpload> Enter(const std::string& path) {
    const MutexLock lock(mutex_);
    std::weak_ptr<OpenUpload>& entry = uploads_[path];
    std::shared_ptr<OpenUpload> upload = entry.lock();
    if (upload == nullptr) {
      for (auto it = uploads_.begin(); it != uploads_.end();) {  // Those that are over.
        it = it->second.expired() && it->first != path ? uploads_.erase(it) : std::next(it);
      }
      upload = std::make_shared<OpenUpload>();
      uploads_[path] = upload;
    }
    return upload;
  }

  // Drops uploads whose time is over; RESOURCE_EXHAUSTED if `size_bytes` more are too many then.
  absl::Status MakeRoom(std::int64_t size_bytes) {
    std::int64_t total = size_bytes;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
      const std::string path = entry.path().string();
      if (!absl::EndsWith(path, kEnding)) {
        continue;
      }
      const MappedFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      const std::optional<PartialFile> partial =
          file.descriptor() < 0 ? std::nullopt : ReadPartial(file.descriptor());
      if (partial.has_value() && IsOver(*partial)) {
        ::unlink(path.c_str());
      } else if (partial.has_value()) {
        total += partial->size_bytes;
      }
    }
    if (total > limits_.max_bytes) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, kUploadsBusy,
                             "too many broken uploads wait to go on; finish them, or repeat later");
    }
    return absl::OkStatus();
  }

  const std::string folder_;
  const Clock& clock_;
  const SpoolLimits limits_;
  Mutex mutex_;
  std::map<std::string, std::weak_ptr<OpenUpload>> uploads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<UploadSpool>> OpenFolderUploadSpool(const std::string& folder,
                                                                   const Clock& clock,
                                                                   SpoolLimits limits) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make folder ", folder, ": ", error.message()));
  }
  return std::make_unique<FolderUploadSpool>(folder, clock, limits);
}

}  // namespace fieldloop::ingestion
