// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/dataset_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::ingestion {
namespace {

using ::testing::ElementsAre;

std::vector<LabelRange> Whole(const std::string& label) { return {{0, 99, label}}; }

VersionChange ChangeOf(Split first_split, std::vector<LabelRange> first, Split second_split,
                       std::vector<LabelRange> second) {
  return {.sample_id = "s",
          .digest = "d",
          .first_split = first_split,
          .second_split = second_split,
          .first_labels = std::move(first),
          .second_labels = std::move(second)};
}

TEST(DatasetChanges, EachKindIsToldFromWhatTheVersionsHold) {
  const Split none = Split::kUnspecified;
  const Split training = Split::kTraining;
  const Split testing = Split::kTesting;
  EXPECT_EQ(KindOf(ChangeOf(none, {}, training, Whole("a"))), ChangeKind::kAdded);
  EXPECT_EQ(KindOf(ChangeOf(training, Whole("a"), none, {})), ChangeKind::kRemoved);
  EXPECT_EQ(KindOf(ChangeOf(training, Whole("a"), training, Whole("b"))), ChangeKind::kRelabelled);
  EXPECT_EQ(KindOf(ChangeOf(training, Whole("a"), testing, Whole("a"))), ChangeKind::kMoved);
  EXPECT_EQ(KindOf(ChangeOf(training, Whole("a"), testing, Whole("b"))),
            ChangeKind::kRelabelledAndMoved);
  EXPECT_EQ(KindOf(ChangeOf(training, Whole("a"), training, Whole("a"))), ChangeKind::kNone);
}

TEST(DatasetChanges, ARelabelledSampleCountsInTheClassItLeftAndTheOneItCameTo) {
  DiffCounter counter({});
  counter.Add(ChangeOf(Split::kTraining, Whole("idle"), Split::kTraining, Whole("wave")), {});
  EXPECT_EQ(counter.Result().total.relabelled, 1);
  EXPECT_THAT(counter.Result().labels, ElementsAre(DatasetDifference{"idle", 0, 0, 1, 0},
                                                   DatasetDifference{"wave", 0, 0, 1, 0}));
}

TEST(DatasetChanges, OneWhoseRangesShiftedCountsInItsClassesAndOneThatLostAClassOnlyThere) {
  DiffCounter counter({});
  counter.Add(ChangeOf(Split::kTraining, {{0, 9, "a"}, {10, 19, "b"}}, Split::kTraining,
                       {{0, 5, "a"}, {6, 19, "b"}}),
              {});
  counter.Add(
      ChangeOf(Split::kTraining, {{0, 9, "a"}, {10, 19, "c"}}, Split::kTraining, {{0, 9, "a"}}),
      {});
  EXPECT_THAT(counter.Result().labels,
              ElementsAre(DatasetDifference{"a", 0, 0, 1, 0}, DatasetDifference{"b", 0, 0, 1, 0},
                          DatasetDifference{"c", 0, 0, 1, 0}));
}

TEST(DatasetChanges, KeysAreCountedByTheirValuesWhereSamplesHaveThem) {
  DiffCounter counter({"person", "site"});
  const Split none = Split::kUnspecified;
  counter.Add(ChangeOf(none, {}, Split::kTraining, Whole("a")), {{"person", "s01"}});
  counter.Add(ChangeOf(none, {}, Split::kTesting, Whole("a")), {{"person", "s02"}});
  counter.Add(ChangeOf(Split::kTraining, Whole("b"), none, {}), {{"person", "s01"}});
  counter.Add(ChangeOf(Split::kTraining, Whole("a"), Split::kTesting, Whole("b")), {});
  const VersionDiff diff = counter.Result();
  EXPECT_EQ(diff.total, (DatasetDifference{"", 2, 1, 1, 1}));
  EXPECT_THAT(diff.labels,
              ElementsAre(DatasetDifference{"a", 2, 0, 1, 0}, DatasetDifference{"b", 0, 1, 1, 1}));
  EXPECT_THAT(diff.keys, ElementsAre(DatasetDifference{"person=s01", 1, 1, 0, 0},
                                     DatasetDifference{"person=s02", 1, 0, 0, 0}));
}

}  // namespace
}  // namespace fieldloop::ingestion
