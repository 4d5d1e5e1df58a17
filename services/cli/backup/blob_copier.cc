// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/backup/blob_copier.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr std::int64_t kPieceBytes = 1 << 20;
// Blobs of up to one piece are collected up to these.
constexpr std::size_t kMaxWaiting = 256;
constexpr std::size_t kMaxWaitingBytes = 16 << 20;

}  // namespace

absl::Status BlobCopier::Copy(BlobStore& from, const std::string& digest) {
  std::string held;
  std::unique_ptr<BlobWriter> writer;
  std::int64_t size = 0;
  const auto take = [&](absl::string_view piece) -> absl::Status {
    size += static_cast<std::int64_t>(piece.size());
    if (writer == nullptr && size <= kPieceBytes) {
      held.append(piece.data(), piece.size());
      return absl::OkStatus();
    }
    if (writer == nullptr) {
      FIELDLOOP_ASSIGN_OR_RETURN(writer, to_.Create());
      FIELDLOOP_RETURN_IF_ERROR(writer->Append(held));
    }
    return writer->Append(piece);
  };
  FIELDLOOP_RETURN_IF_ERROR(from.Read(digest, kPieceBytes, take));
  ++count_;
  bytes_ += size;
  if (writer != nullptr) {
    return writer->Commit().status();
  }
  waiting_bytes_ += held.size();
  waiting_.push_back({.digest = digest, .data = std::move(held)});
  return waiting_.size() >= kMaxWaiting || waiting_bytes_ >= kMaxWaitingBytes ? Flush()
                                                                              : absl::OkStatus();
}

absl::Status BlobCopier::Flush() {
  std::vector<BlobContent> contents;
  for (const Waiting& blob : waiting_) {
    contents.push_back({.data = blob.data, .digest = blob.digest});
  }
  const absl::Status status = contents.empty() ? absl::OkStatus() : to_.PutAll(contents).status();
  waiting_.clear();
  waiting_bytes_ = 0;
  return status;
}

}  // namespace fieldloop::cli
