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
  const auto recording = ParseCsv(text);
  EXPECT_THAT(recording, StatusIs(absl::StatusCode::kInvalidArgument));
  return std::string(recording.status().message());
}

TEST(CsvFormatTest, AConstantStepKeepsTheReadingsAsTheyAre) {
  const auto recording = ParseCsv("timestamp,x,y\n0,1,2\n16,3,4\n32,5,6\n");
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
  const auto recording = ParseCsv(text);
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->resampling, "");
  EXPECT_NEAR(recording->frequency_hz, 60.0, 1e-9);
  EXPECT_EQ(recording->readings, 61);
}

TEST(CsvFormatTest, UnevenTimesAreInterpolatedAtTheMedianRate) {
  // Steps 10, 10, 20, 10: the median is 10, and the reading at 30 lies between those at 20 and 40.
  const auto recording = ParseCsv("timestamp,x\n100,0\n110,1\n120,2\n140,8\n150,9\n");
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->resampling, "linear");
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 100);
  EXPECT_THAT(recording->values, ElementsAre(0, 1, 2, 5, 8, 9));
  EXPECT_EQ(recording->readings, 6);
  EXPECT_THAT(recording->flags, IsEmpty());
}

TEST(CsvFormatTest, AGapIsFilledAndFlagged) {
  const auto recording = ParseCsv("timestamp,x\n0,0\n10,1\n20,2\n80,8\n90,9\n");
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->flags, ElementsAre("gap"));
  EXPECT_THAT(recording->values, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(CsvFormatTest, AGapThatWouldMakeMostOfTheRecordingIsRefusedWithItsLine) {
  EXPECT_THAT(ErrorOf("timestamp,x\n0,0\n10,1\n20,2\n1e12,3\n"),
              HasSubstr("line 5, column \"timestamp\": got a gap"));
}

TEST(CsvFormatTest, RepeatedAndEarlierTimesAreErrorsWithTheirLine) {
  EXPECT_THAT(ErrorOf("timestamp,x\n0,0\n10,1\n10,2\n"),
              HasSubstr("line 4, column \"timestamp\": got \"10\", want more than"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,0\n10,1\n5,2\n"),
              HasSubstr("line 4, column \"timestamp\": got \"5\""));
}

TEST(CsvFormatTest, OneRowNeedsNoTimestamp) {
  const auto recording = ParseCsv("a,b\r\n1.5,-2\r\n\r\n");
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1.5, -2));
  EXPECT_EQ(recording->readings, 1);
  EXPECT_EQ(recording->frequency_hz, 0);
}

TEST(CsvFormatTest, QuotesBlanksAndAByteOrderMarkDoNotMatter) {
  const auto recording = ParseCsv("\xef\xbb\xbf\"timestamp\", \"x\"\n0, 1\n\"10\",\"2\"\n");
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("x"));
  EXPECT_THAT(recording->values, ElementsAre(1, 2));
}

TEST(CsvFormatTest, EveryErrorNamesItsPlace) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("line 1: got an empty file"));
  EXPECT_THAT(ErrorOf("timestamp,x\n"), HasSubstr("line 2: got the end of the file"));
  EXPECT_THAT(ErrorOf("timestamp\n0\n"), HasSubstr("line 1"));
  EXPECT_THAT(ErrorOf("1,2\n3,4\n"), HasSubstr("want a header line"));
  EXPECT_THAT(ErrorOf("x,timestamp\n1,2\n"), HasSubstr("line 1, column 2: got \"timestamp\""));
  EXPECT_THAT(ErrorOf("timestamp,x,x\n0,1,2\n"), HasSubstr("line 1: columns[1]: got \"x\" again"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,abc\n"),
              HasSubstr("line 3, column \"x\": got \"abc\", want a number"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,nan\n"),
              HasSubstr("line 3, column \"x\": got \"nan\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,1e39\n"), HasSubstr("line 3, column \"x\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10\n"), HasSubstr("line 3: got 1 fields, want 2"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n10,2,3\n"), HasSubstr("line 3: got more than 2 fields"));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n\n10,2\n"),
              HasSubstr("line 3, column \"timestamp\": got \"\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n1e16,2\n"), HasSubstr("line 3, column \"timestamp\""));
  EXPECT_THAT(ErrorOf("timestamp,x\n0,1\n1e-7,2\n"), HasSubstr("timestamps are in milliseconds"));
  EXPECT_THAT(ErrorOf("a\xff,b\n1,2\n"), HasSubstr("line 1: columns[0]"));
}

TEST(CsvFormatTest, TheRealGoodFileIsReadAndTheBadOneSaysWhy) {
  const std::string good = SharedData("edge-impulse/samples/good.01.csv");
  if (good.empty()) {
    GTEST_SKIP() << "no shared data";
  }
  const auto recording = ParseCsv(good);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("accX", "accY", "accZ"));
  EXPECT_EQ(recording->readings, 6);
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 62.5);
  EXPECT_FLOAT_EQ(recording->values[0], 4.2208285F);
  EXPECT_THAT(ErrorOf(SharedData("edge-impulse/samples/bad.01.csv")),
              HasSubstr("line 3: got a second row"));
  EXPECT_THAT(ErrorOf(SharedData("edge-impulse/samples/metadata.csv")), HasSubstr("line 2"));
}

TEST(CsvFormatTest, ARealUnevenPhoneRecordingIsResampledNearItsRate) {
  const std::string raw = SharedData("sp-sw-har/s01/s01_01_sp.csv");
  if (raw.empty()) {
    GTEST_SKIP() << "no shared data";
  }
  EXPECT_THAT(ErrorOf(raw), HasSubstr("got \"timestamp\", want it as the first column"));

  // What the guide tells people to do with such files: timestamp first, one row for each time.
  std::string converted = "timestamp,x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro\n";
  std::string with_repeats = converted;
  std::string last_time;
  std::string first_time;
  for (const absl::string_view line : absl::StrSplit(raw, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, ',');
    if (fields[6] == "timestamp") {
      continue;
    }
    std::string row = fields[6];
    for (int i = 0; i < 6; ++i) {
      absl::StrAppend(&row, ",", fields[static_cast<std::size_t>(i)]);
    }
    absl::StrAppend(&with_repeats, row, "\n");
    if (fields[6] != last_time) {
      absl::StrAppend(&converted, row, "\n");
    }
    first_time = first_time.empty() ? fields[6] : first_time;
    last_time = fields[6];
  }
  EXPECT_THAT(ErrorOf(with_repeats), HasSubstr("line 4, column \"timestamp\""));
  const auto recording = ParseCsv(converted);
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->resampling, "linear");
  EXPECT_NEAR(recording->frequency_hz, 100, 15);
  const double seconds = (std::stod(last_time) - std::stod(first_time)) / 1000;
  EXPECT_NEAR(static_cast<double>(recording->readings) / recording->frequency_hz, seconds, 0.1);
}

}  // namespace
}  // namespace fieldloop::ingestion
