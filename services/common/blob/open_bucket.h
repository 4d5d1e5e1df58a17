// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_OPEN_BUCKET_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_OPEN_BUCKET_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/blob/s3_client.h"
#include "services/common/clock/clock.h"

namespace fieldloop {

// A client for the bucket "s3://bucket[/prefix]..." (see ParseS3Location), below `prefix/folder/`.
// Its keys are in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if there is one, AWS_SESSION_TOKEN;
// `variables` is put before these names where the first of them is set so. INVALID_ARGUMENT if the
// location is wrong or a key is missing.
absl::StatusOr<std::unique_ptr<S3Client>> OpenBucket(const std::string& location,
                                                     const std::string& folder, const Clock& clock,
                                                     const std::string& variables = "");

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_OPEN_BUCKET_H_
