// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/crypto/digest.h"
#include "services/ingestion/domain/dataset.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/memory_budget.h"
#include "services/ingestion/domain/sample.h"
#include "services/ingestion/domain/split_choice.h"
#include "services/ingestion/domain/text_rules.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(LabelRangesTest, TheEndMinusOneBecomesTheLastReading) {
  const auto ranges = ResolveRanges("ranges", {{0, 2, "a"}, {5, -1, "b"}}, 10);
  ASSERT_THAT(ranges, IsOk());
  EXPECT_THAT(*ranges, ElementsAre(LabelRange{0, 2, "a"}, LabelRange{5, 9, "b"}));
}

TEST(LabelRangesTest, RangesThatTouchAreNotAnOverlap) {
  EXPECT_THAT(ResolveRanges("ranges", {{0, 4, "a"}, {5, 9, "a"}}, 10), IsOk());
}

TEST(LabelRangesTest, WhatDoesNotFitIsRefusedWithItsPlace) {
  const auto message = [](std::vector<LabelRange> ranges) {
    const auto resolved = ResolveRanges("ranges", std::move(ranges), 10);
    EXPECT_THAT(resolved, StatusIs(absl::StatusCode::kInvalidArgument));
    return std::string(resolved.status().message());
  };
  EXPECT_THAT(message({{0, 4, "a"}, {4, 9, "b"}}), HasSubstr("ranges[1].start_reading: got 4"));
  EXPECT_THAT(message({{0, -1, "a"}, {4, 9, "b"}}), HasSubstr("ranges[1].start_reading"));
  EXPECT_THAT(message({{0, 10, "a"}}), HasSubstr("ranges[0].end_reading: got 10"));
  EXPECT_THAT(message({{10, -1, "a"}}), HasSubstr("ranges[0].start_reading: got 10"));
  EXPECT_THAT(message({{-1, 3, "a"}}), HasSubstr("start_reading: got -1"));
  EXPECT_THAT(message({{3, 2, "a"}}), HasSubstr("end_reading: got 2, want -1 or at least 3"));
  EXPECT_THAT(message({{0, -2, "a"}}), HasSubstr("end_reading: got -2"));
  EXPECT_THAT(message({{0, 1, ""}}), HasSubstr("label: got 0 bytes"));
  EXPECT_THAT(message({{0, 1, std::string(32, 'a')}}), HasSubstr("label: got 32 bytes"));
  EXPECT_THAT(message({{0, 1, "a,b"}}), HasSubstr("without a comma"));
  EXPECT_THAT(message({{0, 1, "a\tb"}}), HasSubstr("control"));
  EXPECT_THAT(message({{0, 1, "a\xff"}}), HasSubstr("UTF-8"));
}

TEST(SplitChoiceTest, EveryFifthNewKeyIsForTesting) {
  std::string sides;
  std::int64_t testing = 0;
  for (std::int64_t all = 0; all < 20; ++all) {
    const bool is_testing = SplitOfNewKey(testing, all) == Split::kTesting;
    testing += is_testing ? 1 : 0;
    sides += is_testing ? 'T' : '.';
  }
  EXPECT_EQ(sides, "....T....T....T....T");
}

TEST(SplitChoiceTest, AboutOneDigestInFiveIsForTesting) {
  int testing = 0;
  for (int i = 0; i < 256; ++i) {
    const std::string digest = ToHex(std::string(32, static_cast<char>(i)));
    testing += SplitOfDigest(digest) == Split::kTesting ? 1 : 0;
  }
  EXPECT_EQ(testing, 52);
  EXPECT_EQ(SplitOfDigest("05ff"), Split::kTesting);
  EXPECT_EQ(SplitOfDigest("06ff"), Split::kTraining);
}

TEST(DatasetVersionTest, TheDigestCoversTheDocumentedText) {
  const std::string a(64, 'a');
  const std::string b(64, 'b');
  const std::vector<VersionEntry> entries = {{.sample_id = a.substr(0, 32),
                                              .digest = a,
                                              .split = Split::kTraining,
                                              .label_number = 1,
                                              .ranges = {{0, 9, "idle"}, {20, 29, "wave"}}},
                                             {.sample_id = b.substr(0, 32),
                                              .digest = b,
                                              .split = Split::kTesting,
                                              .label_number = 3,
                                              .ranges = {{0, 99, "idle"}}}};
  const DatasetVersion version = SummarizeVersion(entries);
  EXPECT_EQ(version.digest, ToHex(Sha256Of(a + "\ttraining\t0:9:idle,20:29:wave\n" + b +
                                           "\ttesting\t0:99:idle\n")));
  EXPECT_EQ(version.sample_count, 2);
  EXPECT_THAT(version.training_readings, ElementsAre(Pair("idle", 10), Pair("wave", 10)));
  EXPECT_THAT(version.testing_readings, ElementsAre(Pair("idle", 100)));
}

TEST(DatasetTest, AFilterForUnlabelledSamplesIsRefused) {
  Dataset dataset{.project = "motor", .id = "gestures", .filter = {}, .create_time = {}};
  EXPECT_THAT(ValidateNewDataset(dataset), IsOk());
  dataset.filter.label_state = LabelState::kUnlabelled;
  EXPECT_THAT(ValidateNewDataset(dataset), StatusIs(absl::StatusCode::kInvalidArgument));
  dataset.filter.label_state = LabelState::kUnspecified;
  dataset.id = "Gestures";
  EXPECT_THAT(ValidateNewDataset(dataset), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SampleRulesTest, TheEndingOfTheNameTellsTheFormat) {
  EXPECT_EQ(*FormatOfFileName("a.01.csv"), SampleFormat::kCsv);
  EXPECT_EQ(*FormatOfFileName("a.JSON"), SampleFormat::kJson);
  EXPECT_EQ(*FormatOfFileName("a.wav"), SampleFormat::kWav);
  EXPECT_EQ(*FormatOfFileName("a.txt"), SampleFormat::kCsv);
  EXPECT_EQ(*FormatOfFileName("a.cbor"), SampleFormat::kCbor);
  const auto image = FormatOfFileName("a.png");
  EXPECT_THAT(image, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(image.status().message()), HasSubstr("got \"a.png\", want"));
}

TEST(TextRulesTest, OnlyWellFormedUtf8Passes) {
  EXPECT_TRUE(IsUtf8("plain"));
  EXPECT_TRUE(IsUtf8("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"));
  EXPECT_FALSE(IsUtf8("\xc3"));              // Cut.
  EXPECT_FALSE(IsUtf8("\xc0\xaf"));          // Overlong.
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));      // Surrogate.
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80"));  // Above U+10FFFF.
  EXPECT_FALSE(IsUtf8("\x80"));              // Continuation without a lead.
}

TEST(TextRulesTest, MetadataKeepsItsLimits) {
  EXPECT_THAT(ValidateMetadata("metadata", {{"site", "hall 3\nnorth"}}), IsOk());
  EXPECT_THAT(ValidateMetadata("metadata", {{"", "x"}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ValidateMetadata("metadata", {{std::string(40, 'k'), "x"}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ValidateMetadata("metadata", {{"k", std::string(201, 'v')}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ValidateMetadata("metadata", {{"k", std::string("a\0b", 3)}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::map<std::string, std::string> many;
  for (int i = 0; i < 33; ++i) {
    many["k" + std::to_string(i)] = "";
  }
  EXPECT_THAT(ValidateMetadata("metadata", many), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(MemoryBudgetTest, AShareGivesBackWhatItTook) {
  MemoryBudget budget(100);
  {
    MemoryBudget::Share first(budget);
    EXPECT_TRUE(first.Grow(60));
    MemoryBudget::Share second(budget);
    EXPECT_FALSE(second.Grow(41));
    EXPECT_TRUE(second.Grow(40));
  }
  MemoryBudget::Share third(budget);
  EXPECT_TRUE(third.Grow(100));
}

}  // namespace
}  // namespace fieldloop::ingestion
