// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_ARTIFACT_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_ARTIFACT_STORE_CONTRACT_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// What every ArtifactStore must do.
class ArtifactStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

  static Artifact Make(ComponentKind kind, const std::string& version,
                       const std::string& project = "motor") {
    return {.project = project,
            .number = 0,
            .kind = kind,
            .version = version,
            .digest = "digest of " + version,
            .size_bytes = 5'000'000'000,
            .author = "apiTokens/me",
            .create_time = absl::FromUnixMicros(7'000'001)};
  }
  std::vector<std::string> Versions(std::optional<ComponentKind> kind, std::int64_t before,
                                    int limit) {
    std::vector<std::string> versions;
    const auto artifacts = store_.List("motor", kind, before, limit);
    EXPECT_THAT(artifacts, ::fieldloop::testing::IsOk());
    for (const Artifact& artifact : *artifacts) {
      versions.push_back(artifact.version);
    }
    return versions;
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
  ArtifactStore& store_ = stores_->artifacts();
};

TEST_P(ArtifactStoreContract, EveryFieldComesBackUnderTheNextNumberOfTheProject) {
  Artifact wanted = Make(ComponentKind::kFirmware, "1.0");
  const absl::StatusOr<Artifact> stored = store_.Insert(wanted);
  ASSERT_THAT(stored, ::fieldloop::testing::IsOk());
  wanted.number = 1;
  EXPECT_EQ(*stored, wanted);
  EXPECT_EQ(*store_.Get("motor", 1), wanted);
  EXPECT_EQ(store_.Insert(Make(ComponentKind::kFirmware, "1.1"))->number, 2);
  EXPECT_EQ(store_.Insert(Make(ComponentKind::kFirmware, "1.1", "other"))->number, 1);
  EXPECT_THAT(store_.Get("motor", 3), ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ArtifactStoreContract, AVersionOfAKindIsStoredOnce) {
  const Artifact first = *store_.Insert(Make(ComponentKind::kFirmware, "1.0"));
  Artifact again = Make(ComponentKind::kFirmware, "1.0");
  again.digest = "of other bytes";
  EXPECT_EQ(*store_.Insert(again), first);
  EXPECT_FALSE(*store_.HasDigest("motor", "of other bytes"));
  EXPECT_EQ(store_.Insert(Make(ComponentKind::kConfiguration, "1.0"))->number, 2);
}

TEST_P(ArtifactStoreContract, ListIsNewestFirstBelowANumberAndByKind) {
  for (const char* version : {"a", "b", "c"}) {
    ASSERT_THAT(store_.Insert(Make(ComponentKind::kConfiguration, version)),
                ::fieldloop::testing::IsOk());
  }
  ASSERT_THAT(store_.Insert(Make(ComponentKind::kFirmware, "f")), ::fieldloop::testing::IsOk());
  EXPECT_THAT(Versions(std::nullopt, kAll, 2), ::testing::ElementsAre("f", "c"));
  EXPECT_THAT(Versions(std::nullopt, 3, 9), ::testing::ElementsAre("b", "a"));
  EXPECT_THAT(Versions(ComponentKind::kFirmware, kAll, 9), ::testing::ElementsAre("f"));
  EXPECT_THAT(Versions(ComponentKind::kConfiguration, kAll, 2), ::testing::ElementsAre("c", "b"));
}

TEST_P(ArtifactStoreContract, ADigestIsKnownInItsProjectOnly) {
  ASSERT_THAT(store_.Insert(Make(ComponentKind::kFirmware, "a")), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(*store_.HasDigest("motor", "digest of a"));
  EXPECT_FALSE(*store_.HasDigest("other", "digest of a"));
  EXPECT_FALSE(*store_.HasDigest("motor", "digest of b"));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ArtifactStoreContract);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_ARTIFACT_STORE_CONTRACT_H_
