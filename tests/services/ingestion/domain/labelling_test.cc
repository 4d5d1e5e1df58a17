// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/labelling.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::testing::ElementsAre;

// A sample's labels, built one after the other; a label of "" takes the label away.
class History {
 public:
  History& Say(const std::string& author, const std::string& text,
               const std::string& source = kPersonSource) {
    Label label;
    label.number = static_cast<std::int64_t>(labels_.size()) + 1;
    label.author = author;
    label.source = source;
    label.create_time = absl::FromUnixSeconds(label.number * 10);
    if (!text.empty()) {
      label.ranges = {{0, 99, text}};
    }
    labels_.push_back(label);
    return *this;
  }
  History& Undo(const std::string& author) {
    const std::int64_t last = labels_.back().number;
    const std::vector<LabelRange> before =
        labels_.size() > 1 ? labels_[labels_.size() - 2].ranges : std::vector<LabelRange>();
    Say(author, "");
    labels_.back().undoes = last;
    labels_.back().ranges = before;
    return *this;
  }
  Label& last() { return labels_.back(); }
  const std::vector<Label>& labels() const { return labels_; }

 private:
  std::vector<Label> labels_;
};

std::vector<std::int64_t> Numbers(const std::vector<Label>& labels) {
  std::vector<std::int64_t> numbers;
  for (const Label& label : labels) {
    numbers.push_back(label.number);
  }
  return numbers;
}

Suggestion SuggestionOf(const std::string& label, double confidence, int second = 5) {
  return {.project = "motor",
          .sample_id = "s",
          .model_digest = std::string(64, 'a'),
          .label = label,
          .confidence = confidence,
          .novelty = 0,
          .create_time = absl::FromUnixSeconds(second)};
}

TEST(Labels, AnUndoTakesALabelBackAndAnotherUndoBringsItAgain) {
  History history;
  history.Say("ann", "idle").Say("ben", "wave").Undo("ben");
  EXPECT_THAT(Numbers(EffectiveLabels(history.labels())), ElementsAre(1));
  EXPECT_EQ(Opinions(history.labels()).size(), 1U);
  history.Undo("ben");
  EXPECT_THAT(Numbers(EffectiveLabels(history.labels())), ElementsAre(1, 2));
  EXPECT_EQ(history.last().ranges[0].label, "wave");
}

TEST(Labels, OnlyWhatPeopleSayLastIsTheirOpinion) {
  History history;
  history.Say("ci", "noise", "import").Say("ann", "idle").Say("ann", "wave").Say("ben", "wave");
  history.Say("ben", "");
  const auto opinions = Opinions(history.labels());
  ASSERT_EQ(opinions.size(), 1U);
  EXPECT_EQ(opinions.at("ann").ranges[0].label, "wave");
}

TEST(Labels, TwoPeopleWithTwoLabelsDisagreeUntilAFurtherLabel) {
  History history;
  EXPECT_FALSE(Disagrees(history.Say("ann", "idle").labels(), {}));
  EXPECT_TRUE(Disagrees(history.Say("ben", "wave").labels(), {}));
  EXPECT_FALSE(Disagrees(history.Say("eve", "wave").labels(), {}));
}

TEST(Labels, APersonMayChangeTheirMind) {
  History history;
  EXPECT_FALSE(Disagrees(history.Say("ann", "idle").Say("ann", "wave").labels(), {}));
}

TEST(Labels, AnUndoneDisagreementIsNone) {
  History history;
  history.Say("ann", "idle").Say("ben", "wave").Undo("ben");
  EXPECT_FALSE(Disagrees(history.labels(), {}));
}

TEST(Labels, ASureModelDisagreesAndAnUnsureOneDoesNot) {
  History history;
  history.Say("ann", "idle");
  EXPECT_TRUE(Disagrees(history.labels(), SuggestionOf("wave", kSureFrom)));
  EXPECT_FALSE(Disagrees(history.labels(), SuggestionOf("wave", kSureFrom - 0.01)));
  EXPECT_FALSE(Disagrees(history.labels(), SuggestionOf("idle", 1)));
}

TEST(Labels, WhoLabelsInTheKnowledgeOfASuggestionSettlesIt) {
  History history;
  history.Say("ann", "idle");
  history.last().suggested_by = std::string(64, 'a');
  EXPECT_FALSE(Disagrees(history.labels(), SuggestionOf("wave", 1)));
  history.last().suggested_by = std::string(64, 'b');
  EXPECT_TRUE(Disagrees(history.labels(), SuggestionOf("wave", 1)));
  history.last().reason = LabellingReason::kDisagreeing;
  EXPECT_FALSE(Disagrees(history.labels(), SuggestionOf("wave", 1)));
  EXPECT_TRUE(Disagrees(history.labels(), SuggestionOf("wave", 1, /*second=*/99)));
}

TEST(Labels, AModelDoesNotDisagreeWithAModelOrWithNoLabel) {
  History history;
  history.Say("build", "idle", kModelSource);
  EXPECT_FALSE(Disagrees(history.labels(), SuggestionOf("wave", 1)));
  EXPECT_FALSE(Disagrees({}, SuggestionOf("wave", 1)));
  EXPECT_FALSE(Disagrees(history.Say("ann", "").labels(), SuggestionOf("wave", 1)));
}

TEST(Queue, ScoresAreZeroForASureModelOnKnownData) {
  Suggestion suggestion = SuggestionOf("idle", 0.9);
  suggestion.novelty = 0.7;
  EXPECT_EQ(ScoresOf(suggestion).uncertainty, 0);
  EXPECT_EQ(ScoresOf(suggestion).novelty, 0);
  suggestion.confidence = 0.3;
  suggestion.novelty = 8;
  EXPECT_NEAR(ScoresOf(suggestion).uncertainty, 0.7, 1e-12);
  EXPECT_EQ(ScoresOf(suggestion).novelty, 8);
}

TEST(Queue, WhatTheDeviceSaidCountsUntilAModelIsAsked) {
  EXPECT_EQ(ScoresOf(std::optional<DeviceProvenance>()).uncertainty, 0);
  DeviceProvenance device;
  device.reason = "novel";
  device.predicted_label = "idle";
  device.confidence = 0.95;
  EXPECT_GT(ScoresOf(device).novelty, 0);
  EXPECT_EQ(ScoresOf(device).uncertainty, 0);
  device.reason = "uncertain";
  EXPECT_EQ(ScoresOf(device).novelty, 0);
  EXPECT_GT(ScoresOf(device).uncertainty, 0);
}

TEST(Queue, AMixHasItsSharesInTheLongRunEvenOneByOne) {
  std::size_t random = 0;
  std::size_t second = 0;
  for (std::uint64_t draw = 0; draw < 10000; ++draw) {
    const QueueMix mix = MixOf(1, 0.5, 0.2, draw);
    EXPECT_EQ(mix.random + mix.second_opinion + mix.by_value, 1U);
    random += mix.random;
    second += mix.second_opinion;
  }
  EXPECT_NEAR(static_cast<double>(random), 5000, 200);
  // A second opinion takes a place that chance has left.
  EXPECT_NEAR(static_cast<double>(second), 1000, 120);
}

TEST(Queue, WholeSharesAreExact) {
  for (std::uint64_t draw = 0; draw < 100; ++draw) {
    const QueueMix mix = MixOf(10, 0.5, 0.2, draw);
    EXPECT_EQ(mix.random, 5U);
    EXPECT_EQ(mix.second_opinion, 2U);
    EXPECT_EQ(mix.by_value, 3U);
  }
  EXPECT_EQ(MixOf(10, 1, 0, 7).random, 10U);
  EXPECT_EQ(MixOf(10, 0, 0, 7).by_value, 10U);
}

TEST(Queue, ReasonsTakeTurnsAndNoSampleIsTakenTwice) {
  const std::vector<QueueLane> lanes = {{LabellingReason::kDisagreeing, {"a", "b", "c"}},
                                        {LabellingReason::kUncertain, {"a", "d"}},
                                        {LabellingReason::kNovel, {}}};
  std::vector<std::string> taken = {"b"};
  EXPECT_THAT(TakeInTurn(lanes, 3, 0, taken),
              ElementsAre(QueuePick{LabellingReason::kDisagreeing, "a"},
                          QueuePick{LabellingReason::kUncertain, "d"},
                          QueuePick{LabellingReason::kDisagreeing, "c"}));
  EXPECT_THAT(taken, ElementsAre("b", "a", "d", "c"));
  EXPECT_TRUE(TakeInTurn(lanes, 3, 0, taken).empty());
  taken.clear();
  EXPECT_EQ(TakeInTurn(lanes, 1, 1, taken)[0].reason, LabellingReason::kUncertain);
}

TEST(Queue, EveryBeginningOfAWovenListHasTheSharesOfTheWhole) {
  const QueuePick value{LabellingReason::kNovel, "v"};
  const QueuePick chance{LabellingReason::kRandom, "r"};
  const std::vector<QueuePick> woven = Weave({{value, value, value, value}, {}, {chance, chance}});
  ASSERT_EQ(woven.size(), 6U);
  EXPECT_EQ(woven[0], value);
  EXPECT_EQ(std::count(woven.begin(), woven.begin() + 3, chance), 1);
}

TEST(Queue, ASuggestionMustSayWhoAndWhat) {
  using ::fieldloop::testing::StatusIs;
  const auto bad = StatusIs(absl::StatusCode::kInvalidArgument);
  Suggestion suggestion = SuggestionOf("idle", 0.9);
  EXPECT_THAT(ValidateSuggestion("s", suggestion), ::fieldloop::testing::IsOk());
  suggestion.model_digest = "A";
  EXPECT_THAT(ValidateSuggestion("s", suggestion), bad);
  suggestion = SuggestionOf("", 0.9);
  EXPECT_THAT(ValidateSuggestion("s", suggestion), bad);
  suggestion = SuggestionOf("idle", 1.1);
  EXPECT_THAT(ValidateSuggestion("s", suggestion), bad);
  suggestion = SuggestionOf("idle", 1);
  suggestion.novelty = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(ValidateSuggestion("s", suggestion), bad);
}

}  // namespace
}  // namespace fieldloop::ingestion
