// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Run by s3_blob_store_test.py, which starts a server and names it in FIELDLOOP_TEST_S3.

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/common/blob/s3_client.h"
#include "services/common/clock/clock.h"
#include "tests/services/common/blob/blob_store_contract.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;

const SystemClock kClock;

S3Location ServerLocation() { return *ParseS3Location(std::getenv("FIELDLOOP_TEST_S3")); }

std::unique_ptr<S3Client> MakeClient(const S3Location& location,
                                     const std::string& secret = "test-secret") {
  return std::make_unique<S3Client>(location,
                                    S3Credentials{.access_key = "test-key", .secret_key = secret},
                                    kClock, [](absl::Duration /*wait*/) {});
}

// A store below a prefix of its own.
std::shared_ptr<BlobStore> EmptyStore() {
  S3Location location = ServerLocation();
  location.prefix = absl::StrCat(ToHex(RandomBytes(8)), "/");
  static const absl::Status made = [&location] {
    return MakeClient(location)->Send({.method = "PUT"}).status();  // The bucket.
  }();
  EXPECT_THAT(made, IsOk());
  return *OpenS3BlobStore(MakeClient(location));
}

INSTANTIATE_TEST_SUITE_P(Stores, BlobStoreContract,
                         ::testing::Values(BlobStoreUnderTest{"S3", &EmptyStore}),
                         [](const auto& param_info) { return param_info.param.name; });

TEST(S3BlobStoreTest, ABlobOfManyPartsComesBackWhole) {
  const std::shared_ptr<BlobStore> store = EmptyStore();
  auto writer = store->Create();
  Sha256 hash;
  for (std::size_t i = 0; i < 40; ++i) {
    const std::string piece((1U << 20U) + i, static_cast<char>('a' + i));
    hash.Update(piece);
    ASSERT_THAT((*writer)->Append(piece), IsOk());
  }
  const std::string digest = ToHex(hash.Finish());
  const auto info = (*writer)->Commit();
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->digest, digest);
  EXPECT_EQ(store->Get(digest)->size(), static_cast<std::size_t>(info->size_bytes));
  EXPECT_EQ(*store->ReadRange(digest, 40 << 20, 3), std::string(3, static_cast<char>('a' + 39)));
}

TEST(S3BlobStoreTest, BytesOtherThanTheirDigestAreRefusedByTheServer) {
  const std::shared_ptr<BlobStore> store = EmptyStore();
  const std::string digest = ToHex(Sha256Of("these"));
  EXPECT_FALSE(store->PutAll({{"those", digest}}).ok());
  EXPECT_FALSE(*store->Exists(digest));
}

TEST(S3BlobStoreTest, MoreBlobsThanOnePageAreVisited) {
  const std::shared_ptr<BlobStore> store = EmptyStore();
  std::vector<std::string> texts;
  for (int i = 0; i < 1100; ++i) {
    texts.push_back(std::to_string(i));
  }
  std::vector<BlobContent> blobs;
  for (const std::string& text : texts) {
    blobs.push_back({text, ""});
  }
  ASSERT_THAT(store->PutAll(blobs), IsOk());
  int visited = 0;
  ASSERT_THAT(store->ForEach([&](absl::string_view /*digest*/, absl::Time /*written*/) {
    ++visited;
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(visited, 1100);
}

TEST(S3BlobStoreTest, AWrongSecretIsPermissionDenied) {
  EXPECT_THAT(OpenS3BlobStore(MakeClient(ServerLocation(), "wrong")),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(S3BlobStoreTest, AMissingBucketIsSaidAtTheStart) {
  S3Location location = ServerLocation();
  location.bucket = "no-such-bucket";
  EXPECT_THAT(OpenS3BlobStore(MakeClient(location)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace fieldloop
