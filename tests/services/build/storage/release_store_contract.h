// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_RELEASE_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_RELEASE_STORE_CONTRACT_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/build/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// What every ReleaseStore must do.
class ReleaseStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

  absl::StatusOr<Release> Insert(const std::string& request_id = "",
                                 const std::string& project = "motor") {
    return store_.Insert(project, request_id, [&](std::int64_t sequence) {
      Release release;
      release.project = project;
      release.sequence = sequence;
      release.model = 4;
      release.firmware = 5;
      release.configuration = 6;
      release.payload = std::string("\0\x01 payload ", 11) + std::to_string(sequence);
      release.signatures = {{.key_id = "\x01\xff", .value = std::string(64, '\0')}};
      release.request_id = request_id;
      release.create_time = absl::FromUnixSeconds(8);
      return absl::StatusOr<Release>(release);
    });
  }

  const std::unique_ptr<Stores> stores_ = GetParam().make();
  ReleaseStore& store_ = stores_->releases();
};

TEST_P(ReleaseStoreContract, EveryFieldComesBack) {
  const absl::StatusOr<Release> release = Insert("r");
  ASSERT_THAT(release, ::fieldloop::testing::IsOk());
  EXPECT_EQ(release->sequence, 1);
  EXPECT_EQ(*store_.Get("motor", 1), *release);
  EXPECT_THAT(store_.Get("motor", 2), ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ReleaseStoreContract, SequencesCountInEachProjectWithoutAGap) {
  EXPECT_EQ(Insert()->sequence, 1);
  EXPECT_THAT(store_.Insert("motor", "",
                            [](std::int64_t) {
                              return absl::StatusOr<Release>(absl::FailedPreconditionError("no"));
                            }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Insert()->sequence, 2);
  EXPECT_EQ(Insert("", "other")->sequence, 1);
}

TEST_P(ReleaseStoreContract, AUsedRequestIdReturnsItsRelease) {
  ASSERT_THAT(Insert("r"), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Insert("r")->sequence, 1);
  EXPECT_EQ(Insert("r", "other")->sequence, 1);
  EXPECT_EQ(store_.List("motor", kAll, 9)->size(), 1U);
}

TEST_P(ReleaseStoreContract, ListIsNewestFirstBelowASequence) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT(Insert(), ::fieldloop::testing::IsOk());
  }
  std::vector<std::int64_t> sequences;
  const auto releases = store_.List("motor", 4, 2);
  ASSERT_THAT(releases, ::fieldloop::testing::IsOk());
  for (const Release& release : *releases) {
    sequences.push_back(release.sequence);
  }
  EXPECT_THAT(sequences, ::testing::ElementsAre(3, 2));
}

TEST_P(ReleaseStoreContract, OnlySignaturesChangeAndOnlyWhenTheChangeSucceeds) {
  const Release release = *Insert();
  const auto updated = store_.UpdateSignatures("motor", 1, [](std::vector<Signature>& signatures) {
    signatures.push_back({.key_id = "k", .value = "v"});
    return absl::OkStatus();
  });
  ASSERT_THAT(updated, ::fieldloop::testing::IsOk());
  EXPECT_EQ(updated->signatures.size(), 2U);
  EXPECT_EQ(updated->payload, release.payload);
  EXPECT_THAT(store_.UpdateSignatures("motor", 1,
                                      [](std::vector<Signature>& signatures) {
                                        signatures.clear();
                                        return absl::InvalidArgumentError("no");
                                      }),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(*store_.Get("motor", 1), *updated);
}

TEST_P(ReleaseStoreContract, InsertsFromTwoThreadsGetSequencesOfTheirOwn) {
  constexpr int kEach = 10;
  const auto insert = [this] {
    for (int i = 0; i < kEach; ++i) {
      EXPECT_THAT(Insert(), ::fieldloop::testing::IsOk());
    }
  };
  std::thread other(insert);
  insert();
  other.join();
  EXPECT_EQ(store_.List("motor", kAll, 100)->front().sequence, 2 * kEach);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReleaseStoreContract);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_STORAGE_RELEASE_STORE_CONTRACT_H_
