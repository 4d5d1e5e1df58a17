// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/artifact_registry.h"

#include <memory>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/blob/blob_store.h"
#include "services/common/crypto/digest.h"
#include "tests/services/build/support/test_database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

class ArtifactRegistryTest : public ::testing::Test {
 protected:
  absl::StatusOr<Artifact> Upload(const std::string& version, const std::string& content,
                                  ComponentKind kind = ComponentKind::kConfiguration) {
    return registry_.Upload("projects/motor",
                            {.kind = kind, .version = version, .author = "apiTokens/me"}, content);
  }
  absl::StatusOr<std::string> Download(const std::string& project, const std::string& content) {
    std::string got;
    const absl::Status status =
        registry_.Download(project, ToHex(Sha256Of(content)), [&got](absl::string_view piece) {
          got.append(piece.data(), piece.size());
          return absl::OkStatus();
        });
    return status.ok() ? absl::StatusOr<std::string>(got) : status;
  }

  TestDatabase database_;
  std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  ::fieldloop::testing::FakeClock clock_;
  ArtifactRegistry registry_{database_.artifacts(), database_.models(), *blobs_, clock_};
};

TEST_F(ArtifactRegistryTest, AnUploadIsKeptUnderItsDigest) {
  const absl::StatusOr<Artifact> artifact = Upload("1.0", "rate=5");
  ASSERT_THAT(artifact, IsOk());
  EXPECT_EQ(artifact->number, 1);
  EXPECT_EQ(artifact->digest, ToHex(Sha256Of("rate=5")));
  EXPECT_EQ(artifact->size_bytes, 6);
  EXPECT_EQ(artifact->author, "apiTokens/me");
  EXPECT_EQ(artifact->create_time, clock_.Now());
  EXPECT_EQ(*registry_.Get("projects/motor/artifacts/1"), *artifact);
  EXPECT_EQ(*Download("projects/motor", "rate=5"), "rate=5");
}

TEST_F(ArtifactRegistryTest, AVersionNeverChangesItsBytes) {
  const Artifact first = *Upload("1.0", "rate=5");
  EXPECT_EQ(*Upload("1.0", "rate=5"), first);
  const absl::Status other = Upload("1.0", "rate=6").status();
  EXPECT_THAT(other, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(std::string(other.message()),
              HasSubstr("configuration 1.0 is projects/motor/artifacts/1 with other bytes"));
  EXPECT_THAT(Upload("1.0", "rate=6", ComponentKind::kFirmware), IsOk());
}

TEST_F(ArtifactRegistryTest, WhatNoDeviceCouldTakeIsRefused) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Upload("1.0", ""), refused);
  EXPECT_THAT(Upload("1.0", std::string(kMaxArtifactBytes + 1, 'x')), refused);
  EXPECT_THAT(Upload("1.0", "x", ComponentKind::kModel), refused);
  EXPECT_THAT(Upload("", "x"), refused);
  EXPECT_THAT(Upload("1 0", "x"), refused);
  EXPECT_THAT(Upload(std::string(32, '1'), "x"), refused);
  EXPECT_THAT(Upload(std::string(31, '1'), std::string(kMaxArtifactBytes, 'x')), IsOk());
}

TEST_F(ArtifactRegistryTest, BytesAreThoseOfTheProjectsModelsAndArtifactsAndNothingElse) {
  ASSERT_THAT(Upload("1.0", "rate=5"), IsOk());
  ASSERT_THAT(blobs_->Put("a log"), IsOk());
  EXPECT_THAT(Download("projects/motor", "a log"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Download("projects/other", "rate=5"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ArtifactRegistryTest, PagesAreNewestFirstAndOfOneKindWhenAsked) {
  ASSERT_THAT(Upload("a", "1"), IsOk());
  ASSERT_THAT(Upload("b", "2", ComponentKind::kFirmware), IsOk());
  ASSERT_THAT(Upload("c", "3"), IsOk());
  const auto page = registry_.List("projects/motor", ComponentKind::kConfiguration, 1, "");
  ASSERT_THAT(page, IsOk());
  ASSERT_EQ(page->items.size(), 1U);
  EXPECT_EQ(page->items[0].version, "c");
  const auto rest =
      registry_.List("projects/motor", ComponentKind::kConfiguration, 1, page->next_page_token);
  EXPECT_EQ(rest->items[0].version, "a");
  EXPECT_EQ(rest->next_page_token, "");
  EXPECT_EQ(registry_.List("projects/motor", std::nullopt, 0, "")->items.size(), 3U);
}

}  // namespace
}  // namespace fieldloop::build
