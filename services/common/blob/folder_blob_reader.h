// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_FOLDER_BLOB_READER_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_FOLDER_BLOB_READER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/blob/blob_store.h"

namespace fieldloop {

// The folder of OpenFolderBlobStore() for a process that changes nothing in it, while others may:
// what would write is FAILED_PRECONDITION. NOT_FOUND if there is no such folder.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolderBlobReader(const std::string& root);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_FOLDER_BLOB_READER_H_
