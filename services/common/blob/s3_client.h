// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_COMMON_BLOB_S3_CLIENT_H_
#define FIELDLOOP_SERVICES_COMMON_BLOB_S3_CLIENT_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/common/blob/blob_store.h"
#include "services/common/blob/s3_signer.h"
#include "services/common/clock/clock.h"

namespace fieldloop {

// Where a bucket is and how to speak to it.
struct S3Location {
  std::string endpoint = {};  // "https://host[:port]"; empty: Amazon's for the region.
  std::string region = "us-east-1";
  std::string bucket = {};
  std::string prefix = {};   // Before every key; empty, or ends with '/'.
  bool path_style = true;    // endpoint/bucket/key; else bucket.endpoint/key.
  std::string ca_file = {};  // PEM; empty: the system's authorities.
};

// Reads "s3://bucket[/prefix][?endpoint=URL&region=NAME&style=path|virtual&ca=FILE]".
// INVALID_ARGUMENT says which part is wrong.
absl::StatusOr<S3Location> ParseS3Location(absl::string_view url);

struct S3Request {
  std::string method = {};
  std::string key = {};  // Below the prefix; empty: the bucket itself.
  S3Fields query = {};
  S3Fields headers = {};
  absl::string_view body = {};
  std::string body_sha256 = {};  // Hex, if the caller knows it; else it is computed.
  std::size_t max_answer_bytes = 1 << 20;
};

struct S3Answer {
  int status = 0;                              // 200 to 499.
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
};

// Speaks HTTP to one bucket: signs, keeps connections open, repeats what can be repeated (no
// connection, 429, 5xx, RequestTimeout, SlowDown) up to 5 times with exponential back-off and full
// jitter. Thread-safe.
class S3Client {
 public:
  // `sleep` waits between two attempts.
  S3Client(S3Location location, S3Credentials credentials, const Clock& clock,
           std::function<void(absl::Duration)> sleep);
  ~S3Client();
  S3Client(const S3Client&) = delete;
  S3Client& operator=(const S3Client&) = delete;

  // UNAVAILABLE when it was repeated in vain; DATA_LOSS when the answer is longer than allowed.
  absl::StatusOr<S3Answer> Send(const S3Request& request);

  // Calls `sink` for every object below the prefix: its key without the prefix, and when it was
  // written. Ends with the first error of `sink`. `what` is for the sentence of an error, such as
  // "list blobs". Errors as of S3Error and Send; INTERNAL if the answer is no list.
  absl::Status List(
      absl::string_view what,
      absl::FunctionRef<absl::Status(absl::string_view key, absl::Time written)> sink);

  const S3Location& location() const { return location_; }

 private:
  struct Connections;
  absl::StatusOr<S3Answer> Attempt(const S3Request& request, const std::string& body_sha256);

  const S3Location location_;
  const S3Credentials credentials_;
  const Clock& clock_;
  const std::function<void(absl::Duration)> sleep_;
  std::string base_url_;  // Scheme and host.
  std::string host_;
  std::string base_path_;  // "/" or "/bucket/".
  std::unique_ptr<Connections> connections_;
};

// What an answer of 400 or more means: NOT_FOUND (only for a missing key), PERMISSION_DENIED,
// FAILED_PRECONDITION (the bucket is missing or the server cannot do it), INTERNAL.
absl::Status S3Error(const S3Answer& answer, const S3Location& location, absl::string_view what);

// Keeps blobs as objects `prefix/ab/cdef...`. What is larger than 16 MiB waits in a file in TMPDIR
// until its digest is known, and goes in parts. FAILED_PRECONDITION if there is no such bucket.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenS3BlobStore(std::unique_ptr<S3Client> client);

}  // namespace fieldloop

#endif  // FIELDLOOP_SERVICES_COMMON_BLOB_S3_CLIENT_H_
