// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_SAMPLE_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_SAMPLE_STORE_CONTRACT_H_

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/ingestion/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {

// What every SampleStore must do. A new store is ready when this suite, instantiated with it,
// passes.
class SampleStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  Sample Insert(const NewSample& fresh) {
    const absl::StatusOr<StoredSample> stored = store_.Insert(fresh);
    EXPECT_THAT(stored, ::fieldloop::testing::IsOk());
    return stored.ok() ? stored->sample : Sample{};
  }

  std::vector<std::string> Listed(const SampleFilter& filter) {
    std::vector<std::string> names;
    const absl::StatusOr<SamplePage> page = store_.List("motor", filter, 1000, "");
    EXPECT_THAT(page, ::fieldloop::testing::IsOk());
    for (const Sample& sample : page->samples) {
      names.push_back(sample.file_name);
    }
    return names;
  }

  const std::unique_ptr<Backend> backend_ = GetParam().make();
  SampleStore& store_ = backend_->samples();
};

TEST_P(SampleStoreContract, GetReturnsWhatInsertStored) {
  NewSample fresh = LabelledSampleOf("a", "idle");
  fresh.sample.flags = {"flat", "gap"};
  fresh.sample.resampling = "linear";
  fresh.sample.units = {"m/s2", ""};
  const Sample stored = Insert(fresh);
  EXPECT_EQ(stored, fresh.sample);
  const absl::StatusOr<Sample> got = store_.Get("motor", fresh.sample.id);
  ASSERT_THAT(got, ::fieldloop::testing::IsOk());
  EXPECT_EQ(*got, fresh.sample);
}

TEST_P(SampleStoreContract, ADevicesProvenanceComesBack) {
  const NewSample fresh = DeviceSampleOf("a", "d1", std::numeric_limits<std::uint64_t>::max());
  const Sample stored = Insert(fresh);
  EXPECT_EQ(stored.device, fresh.sample.device);
  EXPECT_EQ(store_.Get("motor", fresh.sample.id)->device, fresh.sample.device);
}

TEST_P(SampleStoreContract, ASampleThatCannotBeStoredDoesNotKeepOutThoseThatComeWithIt) {
  constexpr int kThreads = 8;
  constexpr int kEach = 6;
  std::vector<std::thread> threads;
  std::vector<int> stored(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        NewSample fresh = LabelledSampleOf(std::to_string(t) + "." + std::to_string(i), "idle");
        const bool bad = i % 3 == 1;
        if (bad) {  // Two ranges that begin together: no database takes them.
          fresh.sample.labels.push_back(fresh.sample.labels.front());
        }
        const absl::StatusOr<StoredSample> result = store_.Insert(fresh);
        EXPECT_EQ(result.ok(), !bad) << result.status();
        if (result.ok()) {
          EXPECT_EQ(result->sample, fresh.sample);
          ++stored[static_cast<std::size_t>(t)];
        } else {
          EXPECT_THAT(store_.Get("motor", fresh.sample.id),
                      ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(stored, ::testing::Each(4));
  EXPECT_EQ(Listed({}).size(), 32U);
}

TEST_P(SampleStoreContract, AProjectDoesNotSeeAnothersSamples) {
  const Sample sample = Insert(SampleOf("a"));
  EXPECT_THAT(store_.Get("pump", sample.id),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(store_.List("pump", {}, 10, "")->samples.empty());
  NewSample same = SampleOf("a");
  same.sample.project = "pump";
  EXPECT_FALSE(store_.Insert(same)->existed);
}

TEST_P(SampleStoreContract, TheSameBytesAgainReturnTheFirstUnchanged) {
  const Sample first = Insert(LabelledSampleOf("a", "idle"));
  NewSample again = LabelledSampleOf("a", "wave", 99);
  again.sample.file_name = "other.csv";
  const absl::StatusOr<StoredSample> stored = store_.Insert(again);
  ASSERT_THAT(stored, ::fieldloop::testing::IsOk());
  EXPECT_TRUE(stored->existed);
  EXPECT_EQ(stored->sample, first);
}

TEST_P(SampleStoreContract, ARepeatedUplinkReturnsItsFirstSample) {
  const Sample first = Insert(DeviceSampleOf("a", "d1", 7));
  const absl::StatusOr<StoredSample> again = store_.Insert(DeviceSampleOf("b", "d1", 7));
  ASSERT_THAT(again, ::fieldloop::testing::IsOk());
  EXPECT_TRUE(again->existed);
  EXPECT_EQ(again->sample.id, first.id);
  EXPECT_FALSE(store_.Insert(DeviceSampleOf("b", "d1", 8))->existed);
}

TEST_P(SampleStoreContract, AnUplinkOfKnownBytesIsKnownAfterwards) {
  const Sample first = Insert(DeviceSampleOf("a", "d1", 7));
  EXPECT_TRUE(store_.Insert(DeviceSampleOf("a", "d1", 8))->existed);
  const auto found =
      store_.FindByUplink("motor", {.device = "projects/motor/devices/d1", .sequence = 8});
  ASSERT_THAT(found, ::fieldloop::testing::IsOk());
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->id, first.id);
}

TEST_P(SampleStoreContract, AnUplinkOfAnotherDeviceIsAnother) {
  Insert(DeviceSampleOf("a", "d1", 7));
  const auto found =
      store_.FindByUplink("motor", {.device = "projects/motor/devices/d2", .sequence = 7});
  ASSERT_THAT(found, ::fieldloop::testing::IsOk());
  EXPECT_FALSE(found->has_value());
}

TEST_P(SampleStoreContract, EveryFifthSplitKeyIsForTestingAndItsSamplesStayTogether) {
  std::string sides;
  for (int device = 0; device < 10; ++device) {
    const std::string name = "d" + std::to_string(device);
    const Sample sample = Insert(DeviceSampleOf("first of " + name, name, 1));
    sides += sample.split == Split::kTesting ? 'T' : '.';
  }
  EXPECT_EQ(sides, "....T....T");
  for (int device = 0; device < 10; ++device) {
    const std::string name = "d" + std::to_string(device);
    const Sample sample = Insert(DeviceSampleOf("second of " + name, name, 2));
    EXPECT_EQ(sample.split == Split::kTesting, device % 5 == 4) << name;
  }
}

TEST_P(SampleStoreContract, SamplesOfANewSplitKeyThatComeAtOnceStayTogether) {
  for (int device = 0; device < 4; ++device) {  // The next key is the first for testing.
    Insert(DeviceSampleOf("s" + std::to_string(device), "d" + std::to_string(device), 1));
  }
  constexpr int kThreads = 8;
  std::vector<absl::StatusOr<StoredSample>> stored(kThreads, absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      NewSample fresh = SampleOf("at once " + std::to_string(i));
      fresh.sample.split = Split::kUnspecified;
      fresh.split_key = SplitKey{.name = "device", .value = "projects/motor/devices/new"};
      stored[static_cast<std::size_t>(i)] = store_.Insert(fresh);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const absl::StatusOr<StoredSample>& one : stored) {
    ASSERT_THAT(one, ::fieldloop::testing::IsOk());
    EXPECT_EQ(one->sample.split, Split::kTesting);
  }
}

TEST_P(SampleStoreContract, SplitKeysOfAnotherNameOrProjectCountForThemselves) {
  for (int i = 0; i < 4; ++i) {
    Insert(DeviceSampleOf("s" + std::to_string(i), "d" + std::to_string(i), 1));
  }
  NewSample other = SampleOf("person sample");
  other.sample.split = Split::kUnspecified;
  other.split_key = SplitKey{.name = "person", .value = "p1"};
  EXPECT_EQ(Insert(other).split, Split::kTraining);
  NewSample elsewhere = DeviceSampleOf("pump sample", "d9", 1);
  elsewhere.sample.project = "pump";
  EXPECT_EQ(Insert(elsewhere).split, Split::kTraining);
  EXPECT_EQ(Insert(DeviceSampleOf("s4", "d4", 1)).split, Split::kTesting);
}

TEST_P(SampleStoreContract, WithoutAKeyTheDigestChoosesTheSide) {
  NewSample fresh = SampleOf("a");
  fresh.sample.split = Split::kUnspecified;
  fresh.sample.digest = "05" + fresh.sample.digest.substr(2);
  fresh.sample.id = SampleIdOf(fresh.sample.digest);
  EXPECT_EQ(Insert(fresh).split, Split::kTesting);
  fresh.sample.digest = "06" + fresh.sample.digest.substr(2);
  fresh.sample.id = SampleIdOf(fresh.sample.digest);
  EXPECT_EQ(Insert(fresh).split, Split::kTraining);
}

TEST_P(SampleStoreContract, AGivenSideIsKept) {
  NewSample fresh = SampleOf("a");
  fresh.sample.split = Split::kTesting;
  fresh.split_key = SplitKey{.name = "site", .value = "hall 3"};
  EXPECT_EQ(Insert(fresh).split, Split::kTesting);
}

TEST_P(SampleStoreContract, ASampleInsertedBetweenTwoPagesRepeatsNoRow) {
  for (int i = 1; i <= 4; ++i) {
    Insert(SampleOf("s" + std::to_string(i), i));
  }
  const absl::StatusOr<SamplePage> first = store_.List("motor", {}, 2, "");
  ASSERT_THAT(first, ::fieldloop::testing::IsOk());
  ASSERT_EQ(first->samples.size(), 2U);
  EXPECT_EQ(first->samples[0].file_name, "s4.csv");
  EXPECT_EQ(first->samples[1].file_name, "s3.csv");
  Insert(SampleOf("new", 99));
  const absl::StatusOr<SamplePage> second = store_.List("motor", {}, 2, first->next_page_token);
  ASSERT_THAT(second, ::fieldloop::testing::IsOk());
  ASSERT_EQ(second->samples.size(), 2U);
  EXPECT_EQ(second->samples[0].file_name, "s2.csv");
  EXPECT_EQ(second->samples[1].file_name, "s1.csv");
  EXPECT_EQ(second->next_page_token, "");
}

TEST_P(SampleStoreContract, SamplesOfOneTimeArePagedWithoutLoss) {
  for (int i = 0; i < 5; ++i) {
    Insert(SampleOf("s" + std::to_string(i), 10));
  }
  std::vector<std::string> ids;
  std::string token;
  do {
    const absl::StatusOr<SamplePage> page = store_.List("motor", {}, 2, token);
    ASSERT_THAT(page, ::fieldloop::testing::IsOk());
    for (const Sample& sample : page->samples) {
      ids.push_back(sample.id);
    }
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_EQ(ids.size(), 5U);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_P(SampleStoreContract, ListRefusesATokenItDidNotMake) {
  EXPECT_THAT(store_.List("motor", {}, 2, "%%"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SampleStoreContract, EachPartOfAFilterSelects) {
  Insert(LabelledSampleOf("idle", "idle", 10));
  NewSample wave = LabelledSampleOf("wave", "wave", 20);
  wave.sample.metadata["site"] = "hall 4";
  wave.sample.split = Split::kTesting;
  Insert(wave);
  Insert(SampleOf("plain", 30));
  Insert(DeviceSampleOf("device", "d1", 1, 40));

  using ::testing::ElementsAre;
  SampleFilter filter;
  EXPECT_THAT(Listed(filter), ElementsAre("device.csv", "plain.csv", "wave.csv", "idle.csv"));
  filter.label_state = LabelState::kLabelled;
  EXPECT_THAT(Listed(filter), ElementsAre("wave.csv", "idle.csv"));
  filter.label_state = LabelState::kUnlabelled;
  EXPECT_THAT(Listed(filter), ElementsAre("device.csv", "plain.csv"));
  filter = {};
  filter.labels = {"idle", "other"};
  EXPECT_THAT(Listed(filter), ElementsAre("idle.csv"));
  filter = {};
  filter.split = Split::kTesting;
  EXPECT_THAT(Listed(filter), ElementsAre("wave.csv"));
  filter = {};
  filter.source = SampleSource::kDevice;
  EXPECT_THAT(Listed(filter), ElementsAre("device.csv"));
  filter = {};
  filter.devices = {"projects/motor/devices/d1", "projects/motor/devices/d2"};
  EXPECT_THAT(Listed(filter), ElementsAre("device.csv"));
  filter = {};
  filter.metadata = {{"site", "hall 4"}};
  EXPECT_THAT(Listed(filter), ElementsAre("wave.csv"));
  filter = {};
  filter.created_after = absl::FromUnixSeconds(20);
  EXPECT_THAT(Listed(filter), ElementsAre("device.csv", "plain.csv", "wave.csv"));
  filter.labels = {"wave"};
  filter.metadata = {{"site", "hall 4"}};
  filter.split = Split::kTesting;
  EXPECT_THAT(Listed(filter), ElementsAre("wave.csv"));
  filter.source = SampleSource::kDevice;
  EXPECT_THAT(Listed(filter), ElementsAre());
  filter = {};
  filter.created_before = absl::FromUnixSeconds(30);
  EXPECT_THAT(Listed(filter), ElementsAre("wave.csv", "idle.csv"));
  filter = {};
  filter.labels = {"'); DROP TABLE samples; --"};
  EXPECT_THAT(Listed(filter), ElementsAre());
}

TEST_P(SampleStoreContract, FlagsSelectByTheirWholeNameInTheirCase) {
  NewSample flat = SampleOf("flat", 10);
  flat.sample.flags = {"flat", "flat:accX", "short"};
  Insert(flat);
  NewSample other = SampleOf("other", 20);
  other.sample.flags = {"clipping", "flat:accx", "short"};
  Insert(other);
  Insert(SampleOf("plain", 30));

  using ::testing::ElementsAre;
  SampleFilter filter;
  filter.flags = {"flat"};
  EXPECT_THAT(Listed(filter), ElementsAre("flat.csv"));
  filter.flags = {"flat:accX"};
  EXPECT_THAT(Listed(filter), ElementsAre("flat.csv"));
  filter.flags = {"clipping", "flat"};
  EXPECT_THAT(Listed(filter), ElementsAre("other.csv", "flat.csv"));
  filter.without_flags = {"flat"};
  EXPECT_THAT(Listed(filter), ElementsAre("other.csv"));
  filter.flags = {};
  EXPECT_THAT(Listed(filter), ElementsAre("plain.csv", "other.csv"));
  filter.without_flags = {"clipping", "short"};
  EXPECT_THAT(Listed(filter), ElementsAre("plain.csv"));
  filter = {};
  filter.flags = {"fla%"};
  EXPECT_THAT(Listed(filter), ElementsAre());
  filter = {};
  filter.without_flags = {"flat"};
  EXPECT_EQ(store_.Count("motor", filter)->total, 2);
}

TEST_P(SampleStoreContract, AKeyThatChoseTheSideComesBackWithTheSample) {
  NewSample fresh = SampleOf("a");
  fresh.sample.split = Split::kUnspecified;
  fresh.split_key = SplitKey{.name = "person", .value = "s01"};
  EXPECT_EQ(Insert(fresh).split_group, "person=s01");
  EXPECT_EQ(store_.Get("motor", fresh.sample.id)->split_group, "person=s01");
  NewSample given = SampleOf("b");
  given.split_key = SplitKey{.name = "person", .value = "s01"};
  EXPECT_EQ(Insert(given).split_group, "");
}

TEST_P(SampleStoreContract, TheNewestLabelStandsAndNoneIsErased) {
  const Sample sample = Insert(LabelledSampleOf("a", "idle"));
  const auto added = store_.AddLabels({LabelOf(sample, {{0, 49, "wave"}, {50, -1, "idle"}})});
  ASSERT_THAT(added, ::fieldloop::testing::IsOk());
  ASSERT_THAT((*added)[0], ::fieldloop::testing::IsOk());
  EXPECT_EQ((*added)[0]->number, 2);
  EXPECT_THAT(store_.Get("motor", sample.id)->labels,
              ::testing::ElementsAre(LabelRange{0, 49, "wave"}, LabelRange{50, 99, "idle"}));

  const absl::StatusOr<LabelPage> first = store_.ListLabels("motor", sample.id, 1, "");
  ASSERT_THAT(first, ::fieldloop::testing::IsOk());
  ASSERT_EQ(first->labels.size(), 1U);
  EXPECT_EQ(first->labels[0].number, 1);
  EXPECT_EQ(first->labels[0].author, "apiTokens/a");
  EXPECT_EQ(first->labels[0].source, "import");
  EXPECT_THAT(first->labels[0].ranges, ::testing::ElementsAre(LabelRange{0, 99, "idle"}));
  const absl::StatusOr<LabelPage> second =
      store_.ListLabels("motor", sample.id, 1, first->next_page_token);
  ASSERT_THAT(second, ::fieldloop::testing::IsOk());
  ASSERT_EQ(second->labels.size(), 1U);
  EXPECT_EQ(second->labels[0].author, "apiTokens/b");
  EXPECT_EQ(second->labels[0].create_time, absl::FromUnixSeconds(20));
  EXPECT_EQ(second->next_page_token, "");
}

TEST_P(SampleStoreContract, AnEmptyLabelTakesTheLabelAway) {
  const Sample sample = Insert(LabelledSampleOf("a", "idle"));
  ASSERT_THAT(store_.AddLabels({LabelOf(sample, {})}), ::fieldloop::testing::IsOk());
  EXPECT_TRUE(store_.Get("motor", sample.id)->labels.empty());
  SampleFilter unlabelled;
  unlabelled.label_state = LabelState::kUnlabelled;
  EXPECT_EQ(Listed(unlabelled).size(), 1U);
  EXPECT_EQ(store_.ListLabels("motor", sample.id, 10, "")->labels.size(), 2U);
}

TEST_P(SampleStoreContract, ALabelThatDoesNotFitKeepsNoOtherOut) {
  const Sample sample = Insert(SampleOf("a"));
  Sample unknown = sample;
  unknown.id = std::string(32, '0');
  const auto added =
      store_.AddLabels({LabelOf(unknown, {{0, 1, "a"}}), LabelOf(sample, {{0, 100, "a"}}),
                        LabelOf(sample, {{0, 99, "good"}})});
  ASSERT_THAT(added, ::fieldloop::testing::IsOk());
  ASSERT_EQ(added->size(), 3U);
  EXPECT_THAT((*added)[0], ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT((*added)[1], ::fieldloop::testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT((*added)[2], ::fieldloop::testing::IsOk());
  EXPECT_EQ((*added)[2]->number, 1);
}

TEST_P(SampleStoreContract, LabelsOfAnUnknownSampleAreNotFound) {
  EXPECT_THAT(store_.ListLabels("motor", std::string(32, '0'), 10, ""),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SampleStoreContract, CountsAreBySideAndLabelOfTheFilter) {
  Insert(LabelledSampleOf("a", "idle"));
  NewSample two = LabelledSampleOf("b", "idle");
  two.sample.labels = {{0, 9, "idle"}, {10, 19, "wave"}, {20, 29, "idle"}};
  Insert(two);
  NewSample test = LabelledSampleOf("c", "wave");
  test.sample.split = Split::kTesting;
  Insert(test);
  Insert(SampleOf("d"));
  const absl::StatusOr<SampleCounts> all = store_.Count("motor", {});
  ASSERT_THAT(all, ::fieldloop::testing::IsOk());
  EXPECT_EQ(*all, (SampleCounts{.total = 4,
                                .labelled = 3,
                                .training = {{"idle", 2}, {"wave", 1}},
                                .testing = {{"wave", 1}}}));
  SampleFilter testing;
  testing.split = Split::kTesting;
  EXPECT_EQ(*store_.Count("motor", testing),
            (SampleCounts{.total = 1, .labelled = 1, .training = {}, .testing = {{"wave", 1}}}));
  EXPECT_EQ(*store_.Count("pump", {}), SampleCounts{});
}

TEST_P(SampleStoreContract, InsertsFromTwoThreadsAllArrive) {
  constexpr int kEach = 15;
  const auto insert = [this](const std::string& prefix) {
    for (int i = 0; i < kEach; ++i) {
      EXPECT_THAT(store_.Insert(LabelledSampleOf(prefix + std::to_string(i), "idle")),
                  ::fieldloop::testing::IsOk());
    }
  };
  std::thread other(insert, "b");
  insert("a");
  other.join();
  EXPECT_EQ(store_.Count("motor", {})->labelled, 2 * kEach);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SampleStoreContract);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_SAMPLE_STORE_CONTRACT_H_
