// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/blob/s3_signer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/common/crypto/digest.h"

namespace fieldloop {
namespace {

constexpr absl::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr absl::string_view kHexDigits = "0123456789ABCDEF";

bool IsUnreserved(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

}  // namespace

std::string S3Encode(absl::string_view text, bool keep_slashes) {
  std::string encoded;
  for (const char c : text) {
    if (IsUnreserved(c) || (keep_slashes && c == '/')) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHexDigits[byte >> 4U], kHexDigits[byte & 0xfU]};
    }
  }
  return encoded;
}

std::string S3Query(S3Fields query) {
  for (auto& [name, value] : query) {
    name = S3Encode(name, /*keep_slashes=*/false);
    value = S3Encode(value, /*keep_slashes=*/false);
  }
  std::sort(query.begin(), query.end());
  return absl::StrJoin(query, "&", absl::PairFormatter("="));
}

S3Fields SignS3Request(const S3SignedRequest& request, const S3Credentials& credentials,
                       absl::string_view region, absl::Time time) {
  const std::string date_time = absl::FormatTime("%Y%m%dT%H%M%SZ", time, absl::UTCTimeZone());
  const std::string date = date_time.substr(0, 8);
  S3Fields added = {{"x-amz-content-sha256", request.body_sha256}, {"x-amz-date", date_time}};
  if (!credentials.session_token.empty()) {
    added.emplace_back("x-amz-security-token", credentials.session_token);
  }

  S3Fields headers = request.headers;
  headers.insert(headers.end(), added.begin(), added.end());
  std::sort(headers.begin(), headers.end());
  std::string canonical_headers;
  std::vector<absl::string_view> names;
  for (const auto& [name, value] : headers) {
    absl::StrAppend(&canonical_headers, name, ":", absl::StripAsciiWhitespace(value), "\n");
    names.push_back(name);
  }
  const std::string signed_headers = absl::StrJoin(names, ";");
  const std::string canonical =
      absl::StrJoin({request.method, request.path, S3Query(request.query), canonical_headers,
                     signed_headers, request.body_sha256},
                    "\n");

  const std::string scope = absl::StrCat(date, "/", region, "/s3/aws4_request");
  const std::string to_sign =
      absl::StrCat(kAlgorithm, "\n", date_time, "\n", scope, "\n", ToHex(Sha256Of(canonical)));
  std::string key = absl::StrCat("AWS4", credentials.secret_key);
  for (const absl::string_view part : {absl::string_view(date), region, absl::string_view("s3"),
                                       absl::string_view("aws4_request")}) {
    key = HmacSha256(key, part);
  }
  added.emplace_back("authorization",
                     absl::StrCat(kAlgorithm, " Credential=", credentials.access_key, "/", scope,
                                  ",SignedHeaders=", signed_headers,
                                  ",Signature=", ToHex(HmacSha256(key, to_sign))));
  return added;
}

}  // namespace fieldloop
