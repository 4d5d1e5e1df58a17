// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/blob_store.h"

#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr std::int64_t kPieceBytes = 1 << 20;

}  // namespace

absl::StatusOr<BlobInfo> BlobStore::Put(absl::string_view data) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<BlobInfo> infos,
                             PutAll({{.data = data, .digest = ""}}));
  return infos.front();
}

absl::StatusOr<std::string> BlobStore::Get(absl::string_view digest) {
  std::string data;
  FIELDLOOP_RETURN_IF_ERROR(Read(digest, kPieceBytes, [&data](absl::string_view piece) {
    data.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return data;
}

}  // namespace fieldloop
