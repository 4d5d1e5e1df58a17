// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/open_blob_store.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/blob/open_bucket.h"
#include "services/common/status/status_macros.h"

namespace fieldloop {
namespace {

constexpr char kAccessKey[] = "AWS_ACCESS_KEY_ID";

std::string Variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? value : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<S3Client>> OpenBucket(const std::string& location,
                                                     const std::string& folder, const Clock& clock,
                                                     const std::string& variables) {
  FIELDLOOP_ASSIGN_OR_RETURN(S3Location bucket, ParseS3Location(location));
  absl::StrAppend(&bucket.prefix, folder, "/");
  const std::string prefix = Variable(absl::StrCat(variables, kAccessKey)).empty() ? "" : variables;
  S3Credentials credentials{.access_key = Variable(prefix + kAccessKey),
                            .secret_key = Variable(prefix + "AWS_SECRET_ACCESS_KEY"),
                            .session_token = Variable(prefix + "AWS_SESSION_TOKEN")};
  if (credentials.access_key.empty() || credentials.secret_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(location.substr(0, location.find('?')),
                                                   " is a bucket: set AWS_ACCESS_KEY_ID and "
                                                   "AWS_SECRET_ACCESS_KEY"));
  }
  return std::make_unique<S3Client>(std::move(bucket), std::move(credentials), clock,
                                    [](absl::Duration wait) { absl::SleepFor(wait); });
}

absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobStore(const std::string& location,
                                                         const std::string& folder,
                                                         const std::string& service,
                                                         const Clock& clock) {
  if (location.empty()) {
    return OpenFolderBlobStore(folder);
  }
  FIELDLOOP_ASSIGN_OR_RETURN(std::unique_ptr<S3Client> bucket,
                             OpenBucket(location, service, clock));
  return OpenS3BlobStore(std::move(bucket));
}

}  // namespace fieldloop
