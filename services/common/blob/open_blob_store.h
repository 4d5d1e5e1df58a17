// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_OPEN_BLOB_STORE_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_OPEN_BLOB_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/blob/blob_store.h"
#include "services/common/clock/clock.h"

namespace fieldloop {

// Opens the store that a service was told to use: `folder` if `location` is empty, else
// "s3://bucket[/prefix]..." (see ParseS3Location) with the blobs below `prefix/service/`. The keys
// of a bucket are in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if there is one,
// AWS_SESSION_TOKEN. INVALID_ARGUMENT if the location is wrong or a key is missing; then as
// OpenFolderBlobStore() and OpenS3BlobStore().
absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobStore(const std::string& location,
                                                         const std::string& folder,
                                                         const std::string& service,
                                                         const Clock& clock);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_OPEN_BLOB_STORE_H_
