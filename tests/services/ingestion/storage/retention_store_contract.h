// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_RETENTION_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_RETENTION_STORE_CONTRACT_H_

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "tests/services/ingestion/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {

// What every RetentionStore must do, over the other stores of the same backend.
class RetentionStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static absl::Time At(int second) { return absl::FromUnixSeconds(second); }
  Sample Put(const NewSample& fresh) { return backend_->samples().Insert(fresh)->sample; }
  // Makes a dataset version of all that is labelled.
  void Hold() {
    const Dataset all{.project = "motor", .id = "all", .filter = {}, .create_time = At(5)};
    ASSERT_THAT(backend_->datasets().Insert(all), ::fieldloop::testing::IsOk());
    ASSERT_THAT(backend_->datasets().CreateVersion("motor", "all", At(6)),
                ::fieldloop::testing::IsOk());
  }
  RetentionPlan Plan(const Retention& retention, int now) {
    absl::StatusOr<RetentionPlan> plan = store_.Plan("motor", retention, At(now));
    EXPECT_THAT(plan, ::fieldloop::testing::IsOk());
    return *std::move(plan);
  }
  static std::vector<std::string> Ids(const RetentionPlan& plan) {
    std::vector<std::string> ids;
    for (const DueSample& sample : plan.due) {
      ids.push_back(sample.id);
    }
    return ids;
  }
  std::vector<std::string> Claim(int second) {
    absl::StatusOr<std::vector<std::string>> claimed =
        store_.ClaimBlobs(absl::Seconds(100), 10, At(second));
    EXPECT_THAT(claimed, ::fieldloop::testing::IsOk());
    return *std::move(claimed);
  }

  static constexpr int kStays = 600;  // kBlobNoteStays in seconds.
  const std::unique_ptr<Backend> backend_ = GetParam().make();
  RetentionStore& store_ = backend_->retention();
};

TEST_P(RetentionStoreContract, ADeletedSampleIsGoneWithAllThatIsKnownOfIt) {
  const Sample sample = Put(DeviceSampleOf("a", "d1", 1));
  ASSERT_THAT(backend_->samples().AddLabels({LabelOf(sample, {{0, -1, "idle"}})}),
              ::fieldloop::testing::IsOk());
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(50)), ::fieldloop::testing::IsOk());
  const auto not_found = ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound);
  EXPECT_THAT(backend_->samples().Get("motor", sample.id), not_found);
  EXPECT_THAT(backend_->samples().ListLabels("motor", sample.id, 10, ""), not_found);
  EXPECT_THAT(store_.DeleteSample("motor", sample.id, At(51)), not_found);
  // It may come again, as a new one.
  const absl::StatusOr<StoredSample> again =
      backend_->samples().Insert(DeviceSampleOf("a", "d1", 1));
  ASSERT_THAT(again, ::fieldloop::testing::IsOk());
  EXPECT_FALSE(again->existed);
  EXPECT_TRUE(again->sample.labels.empty());
}

TEST_P(RetentionStoreContract, ASampleThatAVersionHoldsIsNotDeleted) {
  const Sample sample = Put(LabelledSampleOf("a", "idle"));
  Hold();
  const absl::Status status = store_.DeleteSample("motor", sample.id, At(50));
  EXPECT_THAT(status, ::fieldloop::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(status), "SAMPLE_HELD");
  EXPECT_THAT(backend_->samples().Get("motor", sample.id), ::fieldloop::testing::IsOk());
}

TEST_P(RetentionStoreContract, AgeLetsGoByLabelledAndUnlabelledOldestFirst) {
  const Sample newer = Put(SampleOf("newer", 20));
  const Sample older = Put(SampleOf("older", 10));
  Put(SampleOf("young", 90));
  const Sample labelled = Put(LabelledSampleOf("labelled", "idle", 11));
  EXPECT_THAT(Ids(Plan({.unlabelled = absl::Seconds(50), .labelled = {}, .max_bytes = 0}, 100)),
              ::testing::ElementsAre(older.id, newer.id));
  EXPECT_THAT(Ids(Plan({.unlabelled = {}, .labelled = absl::Seconds(50), .max_bytes = 0}, 100)),
              ::testing::ElementsAre(labelled.id));
  EXPECT_TRUE(Plan({}, 100'000'000).due.empty());
  // A sample as old as the limit stays.
  EXPECT_THAT(Ids(Plan({.unlabelled = absl::Seconds(50), .labelled = {}, .max_bytes = 0}, 70)),
              ::testing::ElementsAre(older.id));
}

TEST_P(RetentionStoreContract, BytesLetTheOldestUnlabelledGoThenTheOldestLabelled) {
  const Sample first = Put(LabelledSampleOf("first", "idle", 10));
  const Sample second = Put(SampleOf("second", 20));
  const Sample third = Put(SampleOf("third", 30));
  Put(LabelledSampleOf("fourth", "idle", 40));
  // Each has 1000 bytes.
  EXPECT_TRUE(Plan({.unlabelled = {}, .labelled = {}, .max_bytes = 4000}, 100).due.empty());
  EXPECT_THAT(Ids(Plan({.unlabelled = {}, .labelled = {}, .max_bytes = 3999}, 100)),
              ::testing::ElementsAre(second.id));
  EXPECT_THAT(Ids(Plan({.unlabelled = {}, .labelled = {}, .max_bytes = 1000}, 100)),
              ::testing::ElementsAre(second.id, third.id, first.id));
}

TEST_P(RetentionStoreContract, AgeAndBytesLetASampleGoOnce) {
  const Sample first = Put(SampleOf("first", 10));
  const Sample second = Put(SampleOf("second", 20));
  Put(SampleOf("third", 30));
  EXPECT_THAT(Ids(Plan({.unlabelled = absl::Seconds(85), .labelled = {}, .max_bytes = 1000}, 100)),
              ::testing::ElementsAre(first.id, second.id));
}

TEST_P(RetentionStoreContract, WhatAVersionHoldsIsCountedAndStays) {
  Put(LabelledSampleOf("held", "idle", 10));
  Hold();
  const Sample loose = Put(LabelledSampleOf("loose", "idle", 11));
  const RetentionPlan plan =
      Plan({.unlabelled = {}, .labelled = absl::Seconds(1), .max_bytes = 0}, 100);
  EXPECT_THAT(Ids(plan), ::testing::ElementsAre(loose.id));
  EXPECT_EQ(plan.held, 1);
}

TEST_P(RetentionStoreContract, WhatALabellerHasAtThisMomentStays) {
  Put(SampleOf("a", 10));
  ASSERT_EQ(backend_->labelling()
                .Lease({.project = "motor",
                        .filter = {},
                        .labeller = "ann",
                        .count = 1,
                        .random_share = 1,
                        .second_opinion_share = 0,
                        .now = At(90),
                        .expire_time = At(150),
                        .draw = 0})
                ->tasks.size(),
            1U);
  const Retention retention{.unlabelled = absl::Seconds(1), .labelled = {}, .max_bytes = 0};
  EXPECT_TRUE(Plan(retention, 100).due.empty());
  EXPECT_EQ(Plan(retention, 150).due.size(), 1U);
}

TEST_P(RetentionStoreContract, WhatChangedSinceThePlanStays) {
  const Sample labelled = Put(SampleOf("labelled", 10));
  const Sample held = Put(LabelledSampleOf("held", "idle", 11));
  const Sample same = Put(SampleOf("same", 12));
  const RetentionPlan plan =
      Plan({.unlabelled = absl::Seconds(1), .labelled = absl::Seconds(1), .max_bytes = 0}, 100);
  ASSERT_EQ(plan.due.size(), 3U);
  Hold();
  ASSERT_THAT(backend_->samples().AddLabels({LabelOf(labelled, {{0, -1, "idle"}})}),
              ::fieldloop::testing::IsOk());
  const absl::StatusOr<DeletedSamples> deleted = store_.Delete("motor", plan.due, At(101));
  ASSERT_THAT(deleted, ::fieldloop::testing::IsOk());
  EXPECT_EQ(deleted->samples, 1);
  EXPECT_EQ(deleted->bytes, 1000);
  EXPECT_THAT(backend_->samples().Get("motor", held.id), ::fieldloop::testing::IsOk());
  EXPECT_THAT(backend_->samples().Get("motor", labelled.id), ::fieldloop::testing::IsOk());
  EXPECT_THAT(backend_->samples().Get("motor", same.id),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(RetentionStoreContract, BothBlobsOfADeletedSampleAreClaimedAfterTheGrace) {
  const Sample sample = Put(SampleOf("a"));
  EXPECT_TRUE(Claim(1000).empty());
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(1000)), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(Claim(1099).empty());
  EXPECT_THAT(Claim(1100), ::testing::UnorderedElementsAre(sample.digest, sample.canonical_digest));
}

TEST_P(RetentionStoreContract, ABlobThatASampleOfAnotherProjectNeedsIsNotClaimed) {
  const Sample sample = Put(SampleOf("a"));
  NewSample other = SampleOf("a");
  other.sample.project = "pump";
  Put(other);
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(1000)), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(Claim(2000).empty());
}

TEST_P(RetentionStoreContract, AnUploadBeforeTheClaimKeepsItsBlobs) {
  const Sample sample = Put(SampleOf("a"));
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(1000)), ::fieldloop::testing::IsOk());
  Put(SampleOf("a"));
  EXPECT_TRUE(Claim(2000).empty());
}

TEST_P(RetentionStoreContract, AnUploadBetweenClaimAndDeletionIsToldToComeAgain) {
  const Sample sample = Put(SampleOf("a"));
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(1000)), ::fieldloop::testing::IsOk());
  ASSERT_EQ(Claim(2000).size(), 2U);
  EXPECT_THAT(backend_->samples().Insert(SampleOf("a")),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kUnavailable));
}

TEST_P(RetentionStoreContract, AnUploadAfterTheDeletionIsTakenOnceNoOlderOneCanBeUnderWay) {
  const Sample sample = Put(SampleOf("a"));
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(1000)), ::fieldloop::testing::IsOk());
  for (const std::string& digest : Claim(2000)) {
    ASSERT_THAT(store_.BlobDeleted(digest), ::fieldloop::testing::IsOk());
  }
  // Its blobs may have been written before they were deleted.
  EXPECT_THAT(backend_->samples().Insert(SampleOf("a")),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(Claim(2000 + kStays - 1).empty());
  EXPECT_THAT(backend_->samples().Insert(SampleOf("a")),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(Claim(2000 + kStays).empty());
  EXPECT_THAT(backend_->samples().Insert(SampleOf("a")), ::fieldloop::testing::IsOk());
}

TEST_P(RetentionStoreContract, AClaimThatWasNeverCarriedOutIsGivenOutAgain) {
  const Sample sample = Put(SampleOf("a"));
  ASSERT_THAT(store_.DeleteSample("motor", sample.id, At(1000)), ::fieldloop::testing::IsOk());
  ASSERT_EQ(Claim(2000).size(), 2U);
  EXPECT_TRUE(Claim(2000 + kStays - 1).empty());
  EXPECT_EQ(Claim(2000 + kStays).size(), 2U);
}

TEST_P(RetentionStoreContract, OnlyBlobsThatNoSampleRefersToAreNoted) {
  const Sample sample = Put(SampleOf("a"));
  const std::string left(64, 'e');
  ASSERT_THAT(store_.NoteUnused({sample.digest, left, sample.canonical_digest}, At(1000)),
              ::fieldloop::testing::IsOk());
  EXPECT_THAT(Claim(1100), ::testing::ElementsAre(left));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RetentionStoreContract);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_RETENTION_STORE_CONTRACT_H_
