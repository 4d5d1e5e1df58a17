// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/open_blob_store.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/blob/s3_client.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobStore(const std::string& location,
                                                         const std::string& folder,
                                                         const std::string& service,
                                                         const Clock& clock) {
  if (location.empty()) {
    return OpenFolderBlobStore(folder);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(S3Location bucket, ParseS3Location(location));
  absl::StrAppend(&bucket.prefix, service, "/");
  S3Credentials credentials{.access_key = Variable("AWS_ACCESS_KEY_ID"),
                            .secret_key = Variable("AWS_SECRET_ACCESS_KEY"),
                            .session_token = Variable("AWS_SESSION_TOKEN")};
  if (credentials.access_key.empty() || credentials.secret_key.empty()) {
    return absl::InvalidArgumentError(
        "--blobs names a bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  return OpenS3BlobStore(
      std::make_unique<S3Client>(std::move(bucket), std::move(credentials), clock,
                                 [](absl::Duration wait) { absl::SleepFor(wait); }));
}

}  // namespace fieldloop
