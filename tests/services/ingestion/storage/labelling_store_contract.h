// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_LABELLING_STORE_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_LABELLING_STORE_CONTRACT_H_

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "services/common/status/error_reason.h"
#include "tests/services/ingestion/storage/store_under_test.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {

// What every LabellingStore must do, over the SampleStore of the same backend.
class LabellingStoreContract : public ::testing::TestWithParam<StoreUnderTest> {
 protected:
  Sample Put(const std::string& content, int second = 10) {
    return backend_->samples().Insert(SampleOf(content, second))->sample;
  }
  void Suggest(const Sample& sample, const std::string& label, double confidence,
               double novelty = 0, char model = 'a', int second = 15) {
    EXPECT_EQ(*store_.PutSuggestions({{.project = sample.project,
                                       .sample_id = sample.id,
                                       .model_digest = std::string(64, model),
                                       .label = label,
                                       .confidence = confidence,
                                       .novelty = novelty,
                                       .create_time = absl::FromUnixSeconds(second)}}),
              1);
  }
  Label Say(const Sample& sample, const std::string& author, const std::string& text,
            int second = 100, const std::string& suggested_by = "") {
    Label label = LabelOf(sample, {});
    if (!text.empty()) {
      label.ranges = {{0, -1, text}};
    }
    label.author = author;
    label.create_time = absl::FromUnixSeconds(second);
    label.suggested_by = suggested_by;
    return *(*backend_->samples().AddLabels({label}))[0];
  }
  static LeaseRequest RequestOf(const std::string& labeller, std::size_t count,
                                double random_share = 0, int now = 100) {
    return {.project = "motor",
            .filter = {},
            .labeller = labeller,
            .count = count,
            .random_share = random_share,
            .second_opinion_share = 0,
            .now = absl::FromUnixSeconds(now),
            .expire_time = absl::FromUnixSeconds(now + 60),
            .draw = 0};
  }
  std::vector<LabellingTask> Lease(const LeaseRequest& request) {
    absl::StatusOr<LeasedTasks> leased = store_.Lease(request);
    EXPECT_THAT(leased, ::fieldloop::testing::IsOk());
    return std::move(leased->tasks);
  }
  static std::vector<std::string> Ids(const std::vector<LabellingTask>& tasks) {
    std::vector<std::string> ids;
    for (const LabellingTask& task : tasks) {
      ids.push_back(task.sample.id);
    }
    return ids;
  }

  const std::unique_ptr<Backend> backend_ = GetParam().make();
  LabellingStore& store_ = backend_->labelling();
};

TEST_P(LabellingStoreContract, ReasonsTakeTurnsEachByItsValue) {
  const Sample sure = Put("sure");
  Suggest(sure, "idle", 0.99, 0.5);
  const Sample unsure = Put("unsure");
  Suggest(unsure, "idle", 0.6);
  const Sample more_unsure = Put("more unsure");
  Suggest(more_unsure, "wave", 0.3);
  const Sample novel = Put("novel");
  Suggest(novel, "wave", 0.9, 5);
  const Sample more_novel = Put("more novel");
  Suggest(more_novel, "wave", 0.9, 50);
  const Sample torn = Put("torn");
  Say(torn, "ann", "idle");
  Say(torn, "ben", "wave");

  const std::vector<LabellingTask> tasks = Lease(RequestOf("eve", 5));
  EXPECT_THAT(Ids(tasks),
              ::testing::ElementsAre(torn.id, more_unsure.id, more_novel.id, unsure.id, novel.id));
  EXPECT_EQ(tasks[0].reason, LabellingReason::kDisagreeing);
  EXPECT_FALSE(tasks[0].suggestion.has_value());
  EXPECT_EQ(tasks[0].sample.labels[0].label, "wave");
  EXPECT_EQ(tasks[1].reason, LabellingReason::kUncertain);
  ASSERT_TRUE(tasks[1].suggestion.has_value());
  EXPECT_EQ(tasks[1].suggestion->label, "wave");
  EXPECT_EQ(tasks[1].suggestion->model_digest, std::string(64, 'a'));
  EXPECT_EQ(tasks[1].lease_expire_time, absl::FromUnixSeconds(160));
  EXPECT_EQ(tasks[2].reason, LabellingReason::kNovel);
  EXPECT_EQ(tasks[4].probability, 0);
}

TEST_P(LabellingStoreContract, TheRandomShareIsDrawnFromAllThatWaitWithItsProbability) {
  std::vector<Sample> samples;
  for (int i = 0; i < 40; ++i) {
    samples.push_back(Put(absl::StrCat("s", i)));
    Suggest(samples.back(), "idle", i < 10 ? 0.3 : 0.9);
  }
  const std::vector<LabellingTask> tasks = Lease(RequestOf("ann", 10, 0.5));
  ASSERT_EQ(tasks.size(), 10U);
  int random = 0;
  for (const LabellingTask& task : tasks) {
    if (task.reason == LabellingReason::kRandom) {
      ++random;
      EXPECT_EQ(task.probability, 5.0 / 40);
    } else {
      EXPECT_EQ(task.probability, 0);
    }
  }
  EXPECT_EQ(random, 5);
}

TEST_P(LabellingStoreContract, EverySampleIsAsLikelyToBeDrawn) {
  for (int i = 0; i < 7; ++i) {
    Put(absl::StrCat("s", i));
  }
  std::map<std::string, int> drawn;
  for (std::uint64_t draw = 0; draw < 7; ++draw) {
    LeaseRequest request = RequestOf("ann", 3, 1);
    request.draw = draw;
    for (const LabellingTask& task : Lease(request)) {
      ++drawn[task.sample.id];
      EXPECT_EQ(task.probability, 3.0 / 7);
    }
    EXPECT_EQ(*store_.Release("motor", "ann", {}), 3);
  }
  EXPECT_EQ(drawn.size(), 7U);
  for (const auto& [id, times] : drawn) {
    EXPECT_EQ(times, 3) << id;
  }
}

TEST_P(LabellingStoreContract, WithTooFewOfValueChanceFillsThePlaces) {
  for (int i = 0; i < 4; ++i) {
    Put(absl::StrCat("s", i));
  }
  const absl::StatusOr<LeasedTasks> leased = store_.Lease(RequestOf("ann", 10));
  ASSERT_THAT(leased, ::fieldloop::testing::IsOk());
  EXPECT_EQ(leased->tasks.size(), 4U);
  EXPECT_EQ(leased->tasks[0].probability, 1);
  EXPECT_EQ(leased->waiting, 4);
}

TEST_P(LabellingStoreContract, TheSameDrawGivesTheSameTasks) {
  for (int i = 0; i < 30; ++i) {
    Suggest(Put(absl::StrCat("s", i)), "idle", 0.3 + 0.02 * i);
  }
  LeaseRequest request = RequestOf("ann", 9, 0.3);
  request.draw = 123456789;
  const std::vector<std::string> first = Ids(Lease(request));
  EXPECT_EQ(*store_.Release("motor", "ann", {}), 9);
  EXPECT_EQ(Ids(Lease(request)), first);
}

TEST_P(LabellingStoreContract, ALeasedSampleIsNotGivenToAnotherUntilTheLeaseIsOver) {
  for (int i = 0; i < 4; ++i) {
    Put(absl::StrCat("s", i));
  }
  const std::vector<std::string> anns = Ids(Lease(RequestOf("ann", 3)));
  const std::vector<std::string> bens = Ids(Lease(RequestOf("ben", 3)));
  ASSERT_EQ(anns.size(), 3U);
  ASSERT_EQ(bens.size(), 1U);
  EXPECT_THAT(anns, ::testing::Not(::testing::Contains(bens[0])));
  EXPECT_EQ(store_.Lease(RequestOf("ben", 3))->waiting, 4);
  EXPECT_EQ(Lease(RequestOf("eve", 4, 0, 159)).size(), 0U);
  EXPECT_EQ(Lease(RequestOf("eve", 4, 0, 160)).size(), 4U);
}

TEST_P(LabellingStoreContract, ARepeatReturnsWhatIsHeldFirstAndRenewsIt) {
  for (int i = 0; i < 6; ++i) {
    Suggest(Put(absl::StrCat("s", i)), "idle", 0.1 * i);
  }
  const std::vector<LabellingTask> first = Lease(RequestOf("ann", 3));
  const std::vector<LabellingTask> second = Lease(RequestOf("ann", 5, 0, 150));
  ASSERT_EQ(second.size(), 5U);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(second[i].sample.id, first[i].sample.id);
    EXPECT_EQ(second[i].reason, first[i].reason);
    EXPECT_EQ(second[i].lease_expire_time, absl::FromUnixSeconds(210));
  }
  EXPECT_EQ(Ids(Lease(RequestOf("ann", 2, 0, 150))),
            std::vector<std::string>({first[0].sample.id, first[1].sample.id}));
}

TEST_P(LabellingStoreContract, ALabelCompletesTheTaskAndSaysHowItWasComeBy) {
  for (int i = 0; i < 2; ++i) {
    Put(absl::StrCat("s", i));
  }
  const std::vector<LabellingTask> tasks = Lease(RequestOf("ann", 1, 1));
  const Label label = Say(tasks[0].sample, "ann", "idle", 120);
  EXPECT_EQ(label.reason, LabellingReason::kRandom);
  EXPECT_EQ(label.probability, 0.5);
  EXPECT_EQ(*store_.Release("motor", "ann", {}), 0);
  const absl::StatusOr<LeasedTasks> next = store_.Lease(RequestOf("ben", 5));
  EXPECT_EQ(next->waiting, 1);
  EXPECT_THAT(Ids(next->tasks), ::testing::Not(::testing::Contains(tasks[0].sample.id)));
  EXPECT_EQ(backend_->samples().ListLabels("motor", tasks[0].sample.id, 10, "")->labels[0], label);
}

TEST_P(LabellingStoreContract, ALabelOfAnotherOrAfterTheLeaseWasNotComeByThroughTheQueue) {
  Put("a");
  Put("b");
  const std::vector<LabellingTask> tasks = Lease(RequestOf("ann", 2, 1));
  EXPECT_EQ(Say(tasks[0].sample, "ben", "idle").reason, LabellingReason::kUnspecified);
  EXPECT_EQ(Say(tasks[1].sample, "ann", "idle", 161).reason, LabellingReason::kUnspecified);
}

TEST_P(LabellingStoreContract, ReleaseGivesBackOnlyWhatTheCallerHolds) {
  for (int i = 0; i < 4; ++i) {
    Put(absl::StrCat("s", i));
  }
  const std::vector<std::string> anns = Ids(Lease(RequestOf("ann", 2)));
  const std::vector<std::string> bens = Ids(Lease(RequestOf("ben", 2)));
  EXPECT_EQ(*store_.Release("motor", "ann", {bens[0], anns[0]}), 1);
  EXPECT_EQ(Ids(Lease(RequestOf("eve", 4))), std::vector<std::string>({anns[0]}));
  EXPECT_EQ(*store_.Release("motor", "ben", {}), 2);
  EXPECT_EQ(*store_.Release("pump", "ann", {}), 0);
}

TEST_P(LabellingStoreContract, OneSampleIsNeverWithTwoOfManyLabellersAtOnce) {
  constexpr int kLabellers = 8;
  constexpr int kRounds = 6;
  for (int i = 0; i < 60; ++i) {
    Suggest(Put(absl::StrCat("s", i)), "idle", 0.01 * i, i);
  }
  std::vector<std::vector<std::string>> given(kLabellers);
  std::vector<std::thread> threads;
  for (int labeller = 0; labeller < kLabellers; ++labeller) {
    threads.emplace_back([&, labeller] {
      const std::string name = absl::StrCat("labeller", labeller);
      for (int round = 1; round <= kRounds; ++round) {
        LeaseRequest request = RequestOf(name, static_cast<std::size_t>(round), 0.5);
        request.draw = static_cast<std::uint64_t>(labeller * 1000 + round * 17);
        given[static_cast<std::size_t>(labeller)] = Ids(Lease(request));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::set<std::string> all;
  std::size_t total = 0;
  for (const std::vector<std::string>& ids : given) {
    EXPECT_EQ(ids.size(), std::size_t{kRounds});
    total += ids.size();
    all.insert(ids.begin(), ids.end());
  }
  EXPECT_EQ(all.size(), total);
}

TEST_P(LabellingStoreContract, ASecondOpinionIsOfAnotherPersonAndBlind) {
  const Sample by_ann = Put("by ann");
  Say(by_ann, "ann", "idle");
  const Sample imported = backend_->samples().Insert(LabelledSampleOf("import", "idle"))->sample;
  LeaseRequest request = RequestOf("ann", 2);
  request.second_opinion_share = 1;
  EXPECT_TRUE(Lease(request).empty());
  request.labeller = "ben";
  const std::vector<LabellingTask> tasks = Lease(request);
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].sample.id, by_ann.id);
  EXPECT_EQ(tasks[0].reason, LabellingReason::kSecondOpinion);
  EXPECT_TRUE(tasks[0].sample.labels.empty());
  Say(by_ann, "ben", "idle");
  request.labeller = "eve";
  EXPECT_TRUE(Lease(request).empty());
}

TEST_P(LabellingStoreContract, OnlySamplesOfTheFilterAreGivenAndCounted) {
  Put("a");
  NewSample fresh = SampleOf("b");
  fresh.sample.metadata = {{"site", "hall 4"}};
  const Sample other = backend_->samples().Insert(fresh)->sample;
  LeaseRequest request = RequestOf("ann", 5);
  request.filter.metadata = {{"site", "hall 4"}};
  request.filter.label_state = LabelState::kLabelled;  // Not read.
  const absl::StatusOr<LeasedTasks> leased = store_.Lease(request);
  EXPECT_THAT(Ids(leased->tasks), ::testing::ElementsAre(other.id));
  EXPECT_EQ(leased->waiting, 1);
}

TEST_P(LabellingStoreContract, TheNewestSuggestionCountsAndOneOfTheSameModelReplacesTheOlder) {
  const Sample sample = Put("a");
  Suggest(sample, "idle", 0.3, 0, 'a', 15);
  Suggest(sample, "wave", 0.5, 0, 'b', 16);
  EXPECT_EQ(Lease(RequestOf("ann", 1))[0].suggestion->label, "wave");
  Suggest(sample, "still", 0.2, 0, 'a', 17);
  EXPECT_EQ(Lease(RequestOf("ann", 1))[0].suggestion->label, "still");
  EXPECT_EQ(*store_.PutSuggestions({{.project = "motor",
                                     .sample_id = std::string(32, '0'),
                                     .model_digest = std::string(64, 'a'),
                                     .label = "idle",
                                     .confidence = 1,
                                     .novelty = 0,
                                     .create_time = absl::UnixEpoch()}}),
            0);
}

TEST_P(LabellingStoreContract, ALabelThatASureModelContradictsComesBackUntilSomebodyDecides) {
  const Sample sample = Put("a");
  Say(sample, "ann", "idle", 20);
  EXPECT_TRUE(Lease(RequestOf("ben", 1)).empty());
  Suggest(sample, "wave", 0.95, 0, 'a', 30);
  const std::vector<LabellingTask> tasks = Lease(RequestOf("ben", 1));
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].reason, LabellingReason::kDisagreeing);
  Say(sample, "ben", "idle", 120, std::string(64, 'a'));
  EXPECT_EQ(store_.Lease(RequestOf("eve", 1))->waiting, 0);
}

TEST_P(LabellingStoreContract, AnUndoRestoresWhatStoodBeforeAndTheUndoneOneStaysInHistory) {
  const Sample sample = backend_->samples().Insert(LabelledSampleOf("a", "idle"))->sample;
  Say(sample, "ann", "wave");
  const absl::StatusOr<Label> undo =
      store_.Undo("motor", sample.id, 2, "ben", absl::FromUnixSeconds(200));
  ASSERT_THAT(undo, ::fieldloop::testing::IsOk());
  EXPECT_EQ(undo->number, 3);
  EXPECT_EQ(undo->undoes, 2);
  EXPECT_EQ(undo->author, "ben");
  EXPECT_EQ(undo->source, "person");
  EXPECT_EQ(backend_->samples().Get("motor", sample.id)->labels, sample.labels);
  EXPECT_EQ(backend_->samples().ListLabels("motor", sample.id, 10, "")->labels.size(), 3U);

  EXPECT_THAT(store_.Undo("motor", sample.id, 3, "ben", absl::FromUnixSeconds(201)),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(backend_->samples().Get("motor", sample.id)->labels[0].label, "wave");
}

TEST_P(LabellingStoreContract, UndoingTheOnlyLabelLeavesNone) {
  const Sample sample = backend_->samples().Insert(LabelledSampleOf("a", "idle"))->sample;
  ASSERT_THAT(store_.Undo("motor", sample.id, 1, "ann", absl::FromUnixSeconds(200)),
              ::fieldloop::testing::IsOk());
  EXPECT_TRUE(backend_->samples().Get("motor", sample.id)->labels.empty());
  EXPECT_EQ(Lease(RequestOf("ann", 1)).size(), 1U);
}

TEST_P(LabellingStoreContract, AnUndoThatComesTooLateSaysSo) {
  const Sample sample = backend_->samples().Insert(LabelledSampleOf("a", "idle"))->sample;
  Say(sample, "ann", "wave");
  const absl::StatusOr<Label> late =
      store_.Undo("motor", sample.id, 1, "ben", absl::FromUnixSeconds(200));
  EXPECT_THAT(late, ::fieldloop::testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(late.status()), "LABEL_SUPERSEDED");
  const auto not_found = ::fieldloop::testing::StatusIs(absl::StatusCode::kNotFound);
  EXPECT_THAT(store_.Undo("motor", sample.id, 3, "ben", absl::UnixEpoch()), not_found);
  EXPECT_THAT(store_.Undo("motor", sample.id, 0, "ben", absl::UnixEpoch()), not_found);
  EXPECT_THAT(store_.Undo("pump", sample.id, 2, "ben", absl::UnixEpoch()), not_found);
}

TEST_P(LabellingStoreContract, TheBacklogIsWhatHasNoLabelAndItsOldest) {
  EXPECT_EQ(store_.CountBacklog()->waiting, 0);
  EXPECT_EQ(store_.CountBacklog()->oldest, absl::InfiniteFuture());
  const Sample oldest = Put("oldest", 10);
  const Sample newer = Put("newer", 20);
  Put("newest", 30);
  EXPECT_EQ(store_.CountBacklog()->waiting, 3);
  EXPECT_EQ(store_.CountBacklog()->oldest, oldest.create_time);
  Say(oldest, "ann", "idle");
  EXPECT_EQ(store_.CountBacklog()->waiting, 2);
  EXPECT_EQ(store_.CountBacklog()->oldest, newer.create_time);
}

TEST_P(LabellingStoreContract, RatingsAreWhatTwoOrMorePeopleSayOfWholeSamples) {
  const Sample both = Put("both", 10);
  Say(both, "ann", "idle");
  Say(both, "ann", "wave");
  Say(both, "ben", "idle");
  const Sample one = Put("one", 11);
  Say(one, "ann", "idle");
  const Sample newer = Put("newer", 12);
  Say(newer, "ann", "idle");
  Say(newer, "ben", "idle");
  const Sample parts = Put("parts", 13);
  Say(parts, "ann", "idle");
  Label part = LabelOf(parts, {{0, 49, "idle"}});
  part.author = "ben";
  ASSERT_THAT(backend_->samples().AddLabels({part}), ::fieldloop::testing::IsOk());
  const auto ratings = store_.Ratings("motor", {});
  ASSERT_THAT(ratings, ::fieldloop::testing::IsOk());
  EXPECT_THAT(*ratings, ::testing::ElementsAre(
                            Rating{parts.id, "ann", "idle"}, Rating{newer.id, "ann", "idle"},
                            Rating{newer.id, "ben", "idle"}, Rating{both.id, "ann", "wave"},
                            Rating{both.id, "ben", "idle"}));
}

TEST_P(LabellingStoreContract, WhatADeviceFoundUncertainOrNovelWaitsAsSuch) {
  NewSample unsure = DeviceSampleOf("u", "d1", 1);
  NewSample novel = DeviceSampleOf("n", "d1", 2);
  novel.sample.device->reason = "novel";
  novel.sample.device->confidence = 0.99;
  ASSERT_THAT(backend_->samples().Insert(unsure), ::fieldloop::testing::IsOk());
  ASSERT_THAT(backend_->samples().Insert(novel), ::fieldloop::testing::IsOk());
  const std::vector<LabellingTask> tasks = Lease(RequestOf("ann", 2));
  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_THAT((std::set<LabellingReason>{tasks[0].reason, tasks[1].reason}),
              ::testing::ElementsAre(LabellingReason::kUncertain, LabellingReason::kNovel));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LabellingStoreContract);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_TESTS_SERVICES_INGESTION_STORAGE_LABELLING_STORE_CONTRACT_H_
