// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// The examples of "Authenticating Requests: Using the Authorization Header (AWS Signature Version
// 4)", Amazon S3 API Reference.

#include "services/common/blob/s3_signer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/crypto/digest.h"

namespace fieldloop {
namespace {

using ::testing::EndsWith;
using ::testing::Pair;

const S3Credentials kCredentials = {.access_key = "AKIAIOSFODNN7EXAMPLE",
                                    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
const absl::Time kTime = absl::FromCivil(absl::CivilSecond(2013, 5, 24), absl::UTCTimeZone());

S3SignedRequest Request(const std::string& method, const std::string& path,
                        const std::string& body = "") {
  return {.method = method,
          .path = path,
          .query = {},
          .headers = {{"host", "examplebucket.s3.amazonaws.com"}},
          .body_sha256 = ToHex(Sha256Of(body))};
}

std::string Authorization(const S3SignedRequest& request) {
  return SignS3Request(request, kCredentials, "us-east-1", kTime).back().second;
}

TEST(S3SignerTest, AReadOfARangeIsSignedAsPublished) {
  S3SignedRequest request = Request("GET", "/test.txt");
  request.headers.emplace_back("range", "bytes=0-9");
  EXPECT_EQ(Authorization(request),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3SignerTest, AWriteIsSignedAsPublished) {
  S3SignedRequest request =
      Request("PUT", S3Encode("/test$file.text", true), "Welcome to Amazon S3.");
  request.headers.emplace_back("date", "Fri, 24 May 2013 00:00:00 GMT");
  request.headers.emplace_back("x-amz-storage-class", "REDUCED_REDUNDANCY");
  EXPECT_THAT(Authorization(request),
              EndsWith("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(S3SignerTest, AQueryIsSignedAsPublished) {
  S3SignedRequest request = Request("GET", "/");
  request.query = {{"lifecycle", ""}};
  EXPECT_THAT(Authorization(request),
              EndsWith("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_THAT(Authorization(request),
              EndsWith("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(S3SignerTest, ATokenOfTheSessionIsSentAndSigned) {
  S3Credentials credentials = kCredentials;
  credentials.session_token = "token";
  const S3Fields added = SignS3Request(Request("GET", "/"), credentials, "us-east-1", kTime);
  EXPECT_THAT(added, ::testing::Contains(Pair("x-amz-security-token", "token")));
  EXPECT_THAT(added.back().second, ::testing::HasSubstr("x-amz-date;x-amz-security-token"));
}

TEST(S3SignerTest, TextIsEncodedByTheRulesOfTheSignature) {
  EXPECT_EQ(S3Encode("a/b c+\xc3\xa4~", true), "a/b%20c%2B%C3%A4~");
  EXPECT_EQ(S3Encode("a/b", false), "a%2Fb");
  EXPECT_EQ(S3Query({{"b", "2"}, {"a", "="}}), "a=%3D&b=2");
}

}  // namespace
}  // namespace fieldloop
