// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_DATASET_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_DATASET_STORE_CONTRACT_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/error_reason.h"
#include "tests/services/ingestion/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {

// What every DatasetStore must do, beside the SampleStore of the same backend.
class DatasetStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  static Dataset DatasetOf(const std::string& id) {
    return {.project = "motor", .id = id, .filter = {}, .create_time = absl::FromUnixSeconds(5)};
  }
  void InsertAll() { ASSERT_THAT(store_.Insert(DatasetOf("all")), ::fieldloop::testing::IsOk()); }
  Sample Put(const NewSample& fresh) { return backend_->samples().Insert(fresh)->sample; }
  absl::StatusOr<DatasetVersion> Freeze(int second = 50) {
    return store_.CreateVersion("motor", "all", absl::FromUnixSeconds(second));
  }

  const std::unique_ptr<Backend> backend_ = GetParam().make();
  DatasetStore& store_ = backend_->datasets();
};

TEST_P(DatasetStoreContract, GetReturnsWhatInsertStored) {
  Dataset dataset = DatasetOf("gestures");
  dataset.filter = {.label_state = LabelState::kLabelled,
                    .labels = {"wave", "idle"},
                    .split = Split::kTraining,
                    .source = SampleSource::kDevice,
                    .devices = {"projects/motor/devices/d2", "projects/motor/devices/d1"},
                    .metadata = {{"site", "hall 3"}, {"arm", "left"}},
                    .created_after = absl::FromUnixSeconds(-7),
                    .created_before = absl::FromUnixSeconds(2),
                    .flags = {"short", "long"},
                    .without_flags = {"clipping"}};
  ASSERT_THAT(store_.Insert(dataset), ::fieldloop::testing::IsOk());
  const absl::StatusOr<Dataset> got = store_.Get("motor", "gestures");
  ASSERT_THAT(got, ::fieldloop::testing::IsOk());
  EXPECT_EQ(*got, dataset);
}

TEST_P(DatasetStoreContract, ATakenIdIsAlreadyExistsAndKeepsTheFirst) {
  InsertAll();
  Dataset again = DatasetOf("all");
  again.filter.labels = {"idle"};
  EXPECT_THAT(store_.Insert(again),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_TRUE(store_.Get("motor", "all")->filter.labels.empty());
}

TEST_P(DatasetStoreContract, AnUnknownDatasetIsNotFound) {
  InsertAll();
  const auto not_found = ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound);
  EXPECT_THAT(store_.Get("motor", "al"), not_found);
  EXPECT_THAT(store_.Get("pump", "all"), not_found);
  EXPECT_THAT(store_.CreateVersion("motor", "none", absl::UnixEpoch()), not_found);
  EXPECT_THAT(store_.ListVersions("motor", "none", 10, ""), not_found);
  EXPECT_THAT(store_.GetVersion("motor", "all", 1), not_found);
  EXPECT_THAT(store_.GetVersion("motor", "all", 0), not_found);
}

TEST_P(DatasetStoreContract, DatasetsArePagedById) {
  for (const char* id : {"bb", "dd", "aa", "cc"}) {
    ASSERT_THAT(store_.Insert(DatasetOf(id)), ::fieldloop::testing::IsOk());
  }
  std::vector<std::string> ids;
  std::string token;
  int pages = 0;
  do {
    const absl::StatusOr<DatasetPage> page = store_.List("motor", 2, token);
    ASSERT_THAT(page, ::fieldloop::testing::IsOk());
    for (const Dataset& dataset : page->datasets) {
      ids.push_back(dataset.id);
    }
    token = page->next_page_token;
    ++pages;
  } while (!token.empty());
  EXPECT_THAT(ids, ::testing::ElementsAre("aa", "bb", "cc", "dd"));
  EXPECT_EQ(pages, 2);
}

TEST_P(DatasetStoreContract, AVersionHoldsTheLabelledSamplesOfTheFilter) {
  InsertAll();
  const Sample a = Put(LabelledSampleOf("a", "idle"));
  NewSample fresh = LabelledSampleOf("b", "wave");
  fresh.sample.split = Split::kTesting;
  const Sample b = Put(fresh);
  Put(SampleOf("unlabelled"));
  NewSample elsewhere = LabelledSampleOf("c", "idle");
  elsewhere.sample.project = "pump";
  Put(elsewhere);

  const absl::StatusOr<DatasetVersion> version = Freeze();
  ASSERT_THAT(version, ::fieldloop::testing::IsOk());
  EXPECT_EQ(version->number, 1);
  EXPECT_EQ(version->sample_count, 2);
  EXPECT_EQ(version->create_time, absl::FromUnixSeconds(50));
  std::vector<std::string> lines = {a.digest + "\ttraining\t0:99:idle\n",
                                    b.digest + "\ttesting\t0:99:wave\n"};
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(version->digest, ToHex(Sha256Of(lines[0] + lines[1])));
  EXPECT_THAT(version->training_readings, ::testing::ElementsAre(::testing::Pair("idle", 100)));
  EXPECT_THAT(version->testing_readings, ::testing::ElementsAre(::testing::Pair("wave", 100)));
  EXPECT_EQ(*store_.GetVersion("motor", "all", 1), *version);
}

TEST_P(DatasetStoreContract, TheSameContentIsTheSameVersion) {
  InsertAll();
  Put(LabelledSampleOf("a", "idle"));
  const absl::StatusOr<DatasetVersion> first = Freeze(50);
  Put(SampleOf("unlabelled"));
  const absl::StatusOr<DatasetVersion> second = Freeze(60);
  ASSERT_THAT(second, ::fieldloop::testing::IsOk());
  EXPECT_EQ(*second, *first);
  Put(LabelledSampleOf("b", "idle"));
  EXPECT_EQ(Freeze(70)->number, 2);
}

TEST_P(DatasetStoreContract, TheSameSamplesHaveTheSameDigestInAnyOrderOfArrival) {
  InsertAll();
  Put(LabelledSampleOf("a", "idle", 1));
  Put(LabelledSampleOf("b", "wave", 2));
  const std::unique_ptr<Backend> other = GetParam().make();
  ASSERT_THAT(other->datasets().Insert(DatasetOf("all")), ::fieldloop::testing::IsOk());
  ASSERT_THAT(other->samples().Insert(LabelledSampleOf("b", "wave", 1)),
              ::fieldloop::testing::IsOk());
  ASSERT_THAT(other->samples().Insert(LabelledSampleOf("a", "idle", 2)),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(Freeze()->digest,
            other->datasets().CreateVersion("motor", "all", absl::UnixEpoch())->digest);
}

TEST_P(DatasetStoreContract, NothingSelectedIsAFailedPreconditionWithItsReason) {
  InsertAll();
  Put(SampleOf("unlabelled"));
  const absl::StatusOr<DatasetVersion> version = Freeze();
  EXPECT_THAT(version, ::fieldloop::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(version.status()), "DATASET_EMPTY");
}

TEST_P(DatasetStoreContract, LaterLabelsDoNotChangeAVersion) {
  InsertAll();
  const Sample sample = Put(LabelledSampleOf("a", "idle"));
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());
  ASSERT_THAT(backend_->samples().AddLabels({LabelOf(sample, {{0, 9, "wave"}})}),
              ::fieldloop::testing::IsOk());
  const absl::StatusOr<std::vector<Sample>> frozen =
      store_.VersionSamples("motor", "all", 1, "", 10);
  ASSERT_THAT(frozen, ::fieldloop::testing::IsOk());
  ASSERT_EQ(frozen->size(), 1U);
  EXPECT_EQ((*frozen)[0], sample);
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());
  EXPECT_THAT((*store_.VersionSamples("motor", "all", 2, "", 10))[0].labels,
              ::testing::ElementsAre(LabelRange{0, 9, "wave"}));
}

TEST_P(DatasetStoreContract, SamplesOfAVersionArePagedByDigest) {
  InsertAll();
  for (int i = 0; i < 5; ++i) {
    Put(LabelledSampleOf("s" + std::to_string(i), "idle"));
  }
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());
  std::vector<std::string> digests;
  for (;;) {
    const absl::StatusOr<std::vector<Sample>> page =
        store_.VersionSamples("motor", "all", 1, digests.empty() ? "" : digests.back(), 2);
    ASSERT_THAT(page, ::fieldloop::testing::IsOk());
    if (page->empty()) {
      break;
    }
    for (const Sample& sample : *page) {
      digests.push_back(sample.digest);
    }
  }
  EXPECT_EQ(digests.size(), 5U);
  EXPECT_TRUE(std::is_sorted(digests.begin(), digests.end()));
}

TEST_P(DatasetStoreContract, VersionsAreListedNewestFirst) {
  InsertAll();
  for (int i = 0; i < 3; ++i) {
    Put(LabelledSampleOf("s" + std::to_string(i), "idle"));
    ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());
  }
  const absl::StatusOr<DatasetVersionPage> first = store_.ListVersions("motor", "all", 2, "");
  ASSERT_THAT(first, ::fieldloop::testing::IsOk());
  ASSERT_EQ(first->versions.size(), 2U);
  EXPECT_EQ(first->versions[0].number, 3);
  EXPECT_EQ(first->versions[1].number, 2);
  const absl::StatusOr<DatasetVersionPage> second =
      store_.ListVersions("motor", "all", 2, first->next_page_token);
  ASSERT_THAT(second, ::fieldloop::testing::IsOk());
  ASSERT_EQ(second->versions.size(), 1U);
  EXPECT_EQ(second->versions[0].number, 1);
  EXPECT_EQ(second->next_page_token, "");
}

TEST_P(DatasetStoreContract, ChangesBetweenTwoVersionsAreListedByDigest) {
  InsertAll();
  const Sample same = Put(LabelledSampleOf("same", "idle"));
  const Sample relabelled = Put(LabelledSampleOf("relabelled", "idle"));
  const Sample repeated = Put(LabelledSampleOf("repeated", "idle"));
  const Sample removed = Put(LabelledSampleOf("removed", "idle"));
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());
  const Sample added = Put(LabelledSampleOf("added", "wave"));
  ASSERT_THAT(
      backend_->samples().AddLabels({LabelOf(relabelled, {{0, -1, "wave"}}),
                                     LabelOf(repeated, {{0, -1, "idle"}}), LabelOf(removed, {})}),
      ::fieldloop::testing::IsOk());
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());

  std::vector<VersionChange> expected = {{.sample_id = relabelled.id,
                                          .digest = relabelled.digest,
                                          .first_split = Split::kTraining,
                                          .second_split = Split::kTraining,
                                          .first_labels = {{0, 99, "idle"}},
                                          .second_labels = {{0, 99, "wave"}}},
                                         {.sample_id = removed.id,
                                          .digest = removed.digest,
                                          .first_split = Split::kTraining,
                                          .second_split = Split::kUnspecified,
                                          .first_labels = {{0, 99, "idle"}},
                                          .second_labels = {}},
                                         {.sample_id = added.id,
                                          .digest = added.digest,
                                          .first_split = Split::kUnspecified,
                                          .second_split = Split::kTraining,
                                          .first_labels = {},
                                          .second_labels = {{0, 99, "wave"}}}};
  std::sort(expected.begin(), expected.end(),
            [](const auto& a, const auto& b) { return a.digest < b.digest; });
  const auto all = store_.ListChanges("motor", {"all", 1}, {"all", 2}, 10, "");
  ASSERT_THAT(all, ::fieldloop::testing::IsOk());
  EXPECT_EQ(all->changes, expected);
  EXPECT_EQ(all->metadata[0].at("site"), "hall 3");
  EXPECT_EQ(all->next_page_token, "");

  std::vector<VersionChange> paged;
  std::string token;
  do {
    const auto page = store_.ListChanges("motor", {"all", 1}, {"all", 2}, 1, token);
    ASSERT_THAT(page, ::fieldloop::testing::IsOk());
    ASSERT_EQ(page->changes.size(), 1U);
    paged.push_back(page->changes[0]);
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_EQ(paged, expected);

  EXPECT_TRUE(store_.ListChanges("motor", {"all", 2}, {"all", 2}, 10, "")->changes.empty());
  const auto not_found = ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound);
  EXPECT_THAT(store_.ListChanges("motor", {"all", 1}, {"all", 3}, 10, ""), not_found);
  EXPECT_THAT(store_.ListChanges("pump", {"all", 1}, {"all", 2}, 10, ""), not_found);
}

TEST_P(DatasetStoreContract, TheVersionsThatHoldASampleAreListedByName) {
  InsertAll();
  ASSERT_THAT(store_.Insert(DatasetOf("some")), ::fieldloop::testing::IsOk());
  const Sample sample = Put(LabelledSampleOf("a", "idle"));
  ASSERT_THAT(store_.CreateVersion("motor", "some", absl::UnixEpoch()),
              ::fieldloop::testing::IsOk());
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());
  const Sample later = Put(LabelledSampleOf("b", "idle"));
  ASSERT_THAT(Freeze(), ::fieldloop::testing::IsOk());

  std::vector<std::string> names;
  std::string token;
  do {
    const absl::StatusOr<VersionKeyPage> page =
        store_.VersionsOfSample("motor", sample.id, 2, token);
    ASSERT_THAT(page, ::fieldloop::testing::IsOk());
    for (const VersionKey& key : page->versions) {
      names.push_back(key.dataset_id + "/" + std::to_string(key.number));
    }
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_THAT(names, ::testing::ElementsAre("all/1", "all/2", "some/1"));
  EXPECT_EQ(store_.VersionsOfSample("motor", later.id, 10, "")->versions.size(), 1U);
  EXPECT_TRUE(store_.VersionsOfSample("motor", Put(SampleOf("c")).id, 10, "")->versions.empty());
  EXPECT_THAT(store_.VersionsOfSample("motor", std::string(32, '0'), 10, ""),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DatasetStoreContract);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_DATASET_STORE_CONTRACT_H_
