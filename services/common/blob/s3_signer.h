// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_S3_SIGNER_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_S3_SIGNER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop {

// Names and values; names of headers in lower case.
using S3Fields = std::vector<std::pair<std::string, std::string>>;

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token = {};  // Empty for keys that last.
};

// What a signature covers.
struct S3SignedRequest {
  std::string method;
  std::string path;         // As it is sent, percent-encoded; begins with '/'.
  S3Fields query;           // Not yet encoded.
  S3Fields headers;         // With `host`; those that are signed, which is all that are here.
  std::string body_sha256;  // Hex.
};

// Percent-encodes all but A-Z a-z 0-9 - . _ ~ and, with `keep_slashes`, '/'.
std::string S3Encode(absl::string_view text, bool keep_slashes);
// The query string as it is signed and sent: encoded, sorted by name; empty without parameters.
std::string S3Query(S3Fields query);

// The headers to send beside those of `request`: x-amz-date, x-amz-content-sha256,
// x-amz-security-token if the credentials have one, and authorization. Source: "Authenticating
// Requests: Using the Authorization Header (AWS Signature Version 4)", Amazon S3 API Reference.
S3Fields SignS3Request(const S3SignedRequest& request, const S3Credentials& credentials,
                       absl::string_view region, absl::Time time);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_S3_SIGNER_H_
