// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/csv_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "services/ingestion/formats/recording_formats.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ErrorOf(absl::string_view text) {
  const auto recording = ParseCsv(text, {});
  EXPECT_THAT(recording, StatusIs(absl::StatusCode::kInvalidArgument));
  return std::string(recording.status().message());
}

TEST(CsvFormatTest, AConstantStepKeepsTheReadingsAsTheyAre) {
  const auto recording = ParseCsv("timestamp,x,y\n0,1,2\n16,3,4\n32,5,6\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("x", "y"));
  EXPECT_THAT(recording->values, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(recording->readings, 3);
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 62.5);
  EXPECT_EQ(recording->resampling, "");
  EXPECT_THAT(recording->flags, IsEmpty());
}

TEST(CsvFormatTest, TimesRoundedToMillisecondsAreAConstantStep) {
  std::string text = "timestamp,x\n";
  for (int i = 0; i <= 60; ++i) {
    absl::StrAppend(&text, 1657533977000 + (i * 1000 + 30) / 60, ",", i, "\n");
  }
  const auto recording = ParseCsv(text, {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->resampling, "");
  EXPECT_NEAR(recording->frequency_hz, 60.0, 1e-9);
  EXPECT_EQ(recording->readings, 61);
}

TEST(CsvFormatTest, UnevenTimesAreInterpolatedAtTheMedianRate) {
  // Steps 10, 10, 20, 10: the median is 10, and the reading at 30 lies between those at 20 and 40.
  const auto recording = ParseCsv("timestamp,x\n100,0\n110,1\n120,2\n140,8\n150,9\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->resampling, "linear from irregular timestamps, median 10 ms, to 100 Hz");
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 100);
  EXPECT_THAT(recording->values, ElementsAre(0, 1, 2, 5, 8, 9));
  EXPECT_EQ(recording->readings, 6);
  EXPECT_THAT(recording->flags, IsEmpty());
}

TEST(CsvFormatTest, AGapIsFilledAndFlagged) {
  const auto recording = ParseCsv("timestamp,x\n0,0\n10,1\n20,2\n80,8\n90,9\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->flags, ElementsAre("gap"));
  EXPECT_THAT(recording->values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(CsvFormatTest, AGapThatWouldMakeMostOfTheRecordingIsRefusedWithItsLine) {
  EXPECT_THAT(ErrorOf("timestamp,x\n0,0\n10,1\n20,2\n1e12,3\n"),
              HasSubstr("line 5, column \"timestamp\": got a gap"));
}

TEST(CsvFormatTest, UnevenTimesGetTheProjectsRateAndEvenOnesStay) {
  const ParseOptions at_50_hz{.signature_key = {}, .frequency_hz = 50};
  const auto uneven = ParseCsv("timestamp,x\n100,0\n110,1\n120,2\n140,8\n150,9\n", at_50_hz);
  ASSERT_THAT(uneven, IsOk());
  EXPECT_EQ(uneven->resampling, "linear from irregular timestamps, median 10 ms, to 50 Hz");
  EXPECT_EQ(uneven->frequency_hz, 50);
  EXPECT_THAT(uneven->values, ElementsAre(0, 2, 8));
  const auto even = ParseCsv("timestamp,x\n0,0\n10,1\n20,2\n", at_50_hz);
  EXPECT_EQ(even->resampling, "");
  EXPECT_EQ(even->frequency_hz, 100);
}

TEST(CsvFormatTest, ReadingsOfOneTimeBecomeTheirMean) {
  const auto recording = ParseCsv("timestamp,x,label\n0,0,a\n10,1,a\n10,3,b\n20,2,b\n20,2,c\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(0, 2, 2));
  EXPECT_EQ(recording->resampling, "");
  EXPECT_EQ(recording->frequency_hz, 100);
  EXPECT_THAT(recording->labels, ElementsAre(LabelRange{0, 1, "a"}, LabelRange{2, 2, "b"}));
}

TEST(CsvFormatTest, AnEarlierTimeIsAnErrorWithItsLine) {
  EXPECT_THAT(ErrorOf("timestamp,x\n0,0\n10,1\n5,2\n"),
              HasSubstr("line 4, column \"timestamp\": got \"5\", want no less than"));
}

TEST(CsvFormatTest, TimeAndLabelMayBeAnyColumns) {
  const auto recording =
      ParseCsv("x,Label,y,TIMESTAMP\n1,up,2,0\n3,up,4,10\n5,,6,20\n7,down,8,30\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("x", "y"));
  EXPECT_THAT(recording->values, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(recording->labels, ElementsAre(LabelRange{0, 1, "up"}, LabelRange{3, 3, "down"}));
}

TEST(CsvFormatTest, LabelsKeepTheirTimesWhenReadingsAreResampled) {
  // b begins at 25 ms: of the grid at 0, 10, 20, ... it has 30 and what follows.
  const auto recording = ParseCsv(
      "timestamp,x,label\n0,0,a\n10,0,a\n20,1,a\n25,0,b\n30,0,b\n40,1,b\n50,0,\n60,0,\n70,0,\n",
      {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->frequency_hz, 100);
  EXPECT_THAT(recording->labels, ElementsAre(LabelRange{0, 2, "a"}, LabelRange{3, 4, "b"}));
}

TEST(CsvFormatTest, SemicolonsAndTabsSeparateAndThenACommaIsDecimal) {
  for (const char* text : {"timestamp;x;y\n0;1,5;-2\n10,0;3.5;4e1\n",
                           "timestamp\tx\ty\n0\t1,5\t-2\n10,0\t3.5\t4e1\n"}) {
    const auto recording = ParseCsv(text, {});
    ASSERT_THAT(recording, IsOk());
    EXPECT_THAT(recording->values, ElementsAre(1.5, -2, 3.5, 40));
    EXPECT_EQ(recording->frequency_hz, 100);
  }
  EXPECT_THAT(ErrorOf("timestamp;x,y\n0;1,2\n"), HasSubstr("line 1: got"));
  EXPECT_THAT(ErrorOf("timestamp;x\n0;1,2,3\n"), HasSubstr("got \"1,2,3\", want a number"));
}

TEST(CsvFormatTest, QuotedNamesMayHoldSeparatorsAndQuotes) {
  const auto recording = ParseCsv("timestamp,\"acc, \"\"x\"\"\"\n0,1\n10,2\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("acc, \"x\""));
}

TEST(CsvFormatTest, BlankLinesAreNoRowsAndLineNumbersCountThem) {
  EXPECT_THAT(ParseCsv("\n\r\ntimestamp,x\r\n\r\n0,1\r\n \r\n10,2", {})->values, ElementsAre(1, 2));
  EXPECT_THAT(ErrorOf("timestamp,x\n\n0,1\n\n10,abc\n"), HasSubstr("line 5, column \"x\""));
}

TEST(CsvFormatTest, EmptyFieldsAndNanAreMissingValues) {
  const auto recording = ParseCsv("timestamp,x,y\n0,1,1\n10,,NaN\n20,3,inf\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1, 1, 2, 1, 3, 1));
  EXPECT_THAT(recording->flags, ::testing::Contains("nan:y"));
}

TEST(CsvFormatTest, NumbersMayHaveASignAndAnExponent) {
  EXPECT_THAT(ParseCsv("a,b,c,d\n+1.5,-.5,2.,1E-3\n", {})->values,
              ElementsAre(1.5, -0.5, 2, 0.001F));
}

TEST(CsvFormatTest, OneRowNeedsNoTimestamp) {
  const auto recording = ParseCsv("a,b\r\n1.5,-2\r\n\r\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1.5, -2));
  EXPECT_EQ(recording->readings, 1);
  EXPECT_EQ(recording->frequency_hz, 0);
}

TEST(CsvFormatTest, QuotesBlanksAndAByteOrderMarkDoNotMatter) {
  const auto recording = ParseCsv("\xef\xbb\xbf\"timestamp\", \"x\"\n0, 1\n\"10\",\"2\"\n", {});
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("x"));
  EXPECT_THAT(recording->values, ElementsAre(1, 2));
}

TEST(CsvFormatTest, EveryErrorNamesItsPlace) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("line 1: got an empty file"));
  EXPECT_THAT(ErrorOf("timestamp,x\n"), HasSubstr("line 2: got the end of the file"));
  EXPECT_THAT(ErrorOf("timestamp\n0\n"), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf("1,2\n3,4\n"), HasSubstr("want a header line"));
  EXPECT_THAT(ErrorOf("timestamp,x,timestamp\n1,2,3\n"),
              HasSubstr("line 1, column 3: got \"timestamp\" again"));
  EXPECT_THAT(ErrorOf("timestamp,label\n1,2\n"), HasSubstr("at least one column beside"));
  EXPECT_THAT(ErrorOf("timestamp,x,label\n0,1,a\n1,2," + std::string(32, 'a') + "\n"),
              HasSubstr("line 3, column \"label\": got 32 bytes"));
  EXPECT_THAT(ErrorOf("\xff\xfe"
                      "t"),
              HasSubstr("got UTF-16"));
  EXPECT_THAT(ErrorOf("timestamp,x,x\n0,1,2\n"), HasSubstr("line 1: columns[1]: got \"x\" again"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,abc\n"),
              HasSubstr("line 3, column \"x\": got \"abc\", want a number"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,1e39\n"), HasSubstr("line 3, column \"x\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10\n"), HasSubstr("line 3: got 1 fields, want 2"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,2,3\n"), HasSubstr("line 3: got more than 2 fields"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n,2\n"),
              HasSubstr("line 3, column \"timestamp\": got \"\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n1e16,2\n"), HasSubstr("line 3, column \"timestamp\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n1e-7,2\n"), HasSubstr("timestamps are in milliseconds"));
  EXPECT_THAT(ErrorOf("a\xff,b\n1,2\n"), HasSubstr("line 1: columns[0]"));
}

}  // namespace
}  // namespace fieldloop::ingestion
