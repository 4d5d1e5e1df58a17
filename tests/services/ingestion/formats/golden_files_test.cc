// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// Every file of the shared data is read as the README beside it says.

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
using ::testing::Pair;

class GoldenFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(FIELDLOOP_SHARED_DATA_DIR)) {
      GTEST_SKIP() << "no shared data at " << FIELDLOOP_SHARED_DATA_DIR;
    }
  }

  static absl::StatusOr<ParsedRecording> Parse(const std::string& path,
                                               const ParseOptions& options = {}) {
    const std::string bytes = SharedData(path);
    EXPECT_FALSE(bytes.empty()) << path;
    return RecordingFormats().Parse(*FormatOfFileName(path), bytes, options);
  }

  static std::vector<std::string> FilesIn(const std::string& folder, const std::string& ending) {
    std::vector<std::string> files;
    const std::filesystem::path root = FIELDLOOP_SHARED_DATA_DIR;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      if (entry.path().extension() == ending) {
        files.push_back(std::filesystem::relative(entry.path(), root).string());
      }
    }
    return files;
  }

  const ParseOptions key_{.signature_key = "fed53116f20684c067774ebf9e7bcbdc", .frequency_hz = 0};
};

TEST_F(GoldenFiles, TheSignatureOfTheCSdkVerifiesWithItsKeyOnly) {
  const auto recording = Parse("edge-impulse/samples/c-sdk-signed.cbor", key_);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->flags, IsEmpty());
  EXPECT_THAT(recording->axes, ElementsAre("accX", "accY", "accZ"));
  EXPECT_THAT(recording->units, ElementsAre("m/s2", "m/s2", "m/s2"));
  EXPECT_THAT(recording->metadata, ElementsAre(Pair("device_name", "ac:87:a3:0a:2d:1b"),
                                               Pair("device_type", "DISCO-L475VG-IOT01A")));
  EXPECT_EQ(recording->readings, 4);
  EXPECT_DOUBLE_EQ(recording->frequency_hz, 100);
  EXPECT_FLOAT_EQ(recording->values[0], -9.81F);
  EXPECT_FLOAT_EQ(recording->values[11], 1.25F);
  EXPECT_THAT(Parse("edge-impulse/samples/c-sdk-signed.cbor", {.signature_key = "other"})->flags,
              ElementsAre("signature-invalid"));
}

TEST_F(GoldenFiles, TheSignaturesOfWave01DoNotVerifyAndBothFormsSayTheSame) {
  const auto json = Parse("edge-impulse/samples/wave.01.json", key_);
  const auto cbor = Parse("edge-impulse/samples/wave.01.cbor", key_);
  ASSERT_THAT(json, IsOk());
  ASSERT_THAT(cbor, IsOk());
  EXPECT_THAT(json->flags, ElementsAre("signature-invalid"));
  EXPECT_THAT(cbor->flags, ElementsAre("signature-invalid"));
  EXPECT_EQ(json->values, cbor->values);
  EXPECT_EQ(json->units, cbor->units);
}

TEST_F(GoldenFiles, ALongCborFileWithThePayloadFirstIsRead) {
  const auto recording = Parse("edge-impulse/samples/wave.0.cbor");
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->readings, 622);
  EXPECT_EQ(recording->axes.size(), 3U);
  EXPECT_FLOAT_EQ(recording->values[0], 7.73F);
  EXPECT_FLOAT_EQ(recording->values[2], -5.75F);
}

TEST_F(GoldenFiles, AFloatWavIsReadInUnitsOf16Bit) {
  const auto recording = Parse("edge-impulse/samples/hadouken.01.wav");
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->frequency_hz, 44100);
  EXPECT_EQ(recording->readings, 44100);
  float loudest = 0;
  for (const float value : recording->values) {
    loudest = std::max(loudest, std::abs(value));
  }
  EXPECT_GT(loudest, 1000);
  EXPECT_LE(loudest, 32768);
}

TEST_F(GoldenFiles, TheGoodCsvIsReadAndTheOthersSayWhyNot) {
  const auto good = Parse("edge-impulse/samples/good.01.csv");
  ASSERT_THAT(good, IsOk());
  EXPECT_EQ(good->readings, 6);
  EXPECT_DOUBLE_EQ(good->frequency_hz, 62.5);
  const auto bad = Parse("edge-impulse/samples/bad.01.csv");
  EXPECT_THAT(bad, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("line 3: got a second row"));
  const auto names = Parse("edge-impulse/samples/metadata.csv");
  EXPECT_THAT(names, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(names.status().message()),
              HasSubstr("line 2, column \"name\": got \"Gestures example 3\", want a number"));
}

TEST_F(GoldenFiles, EveryPhoneAndWatchRecordingIsReadWithItsLabels) {
  int files = 0;
  for (const std::string& path : FilesIn("sp-sw-har", ".csv")) {
    if (path.find("_info") != std::string::npos) {
      continue;
    }
    const auto recording = Parse(path, {.signature_key = {}, .frequency_hz = 100});
    ASSERT_THAT(recording, IsOk()) << path;
    ASSERT_EQ(recording->axes.size(), 6U) << path;
    ASSERT_EQ(recording->frequency_hz, 100) << path;
    ASSERT_THAT(recording->resampling, HasSubstr("to 100 Hz")) << path;
    ASSERT_THAT(ResolveRanges("labels", recording->labels, recording->readings), IsOk()) << path;
    ASSERT_EQ(recording->labels.front().start, 0) << path;
    ASSERT_EQ(recording->labels.back().end, recording->readings - 1) << path;
    std::int64_t labelled = 0;
    for (const LabelRange& range : recording->labels) {
      labelled += range.end - range.start + 1;
    }
    ASSERT_EQ(labelled, recording->readings) << path;
    ++files;
  }
  EXPECT_EQ(files, 290);
}

TEST_F(GoldenFiles, EverySpokenDigitIsRead) {
  const std::vector<std::string> files = FilesIn("fsdd/recordings", ".wav");
  EXPECT_EQ(files.size(), 2000U);
  for (const std::string& path : files) {
    const auto recording = Parse(path);
    ASSERT_THAT(recording, IsOk()) << path;
    ASSERT_EQ(recording->frequency_hz, 8000) << path;
    ASSERT_THAT(recording->axes, ElementsAre("audio")) << path;
  }
}

}  // namespace
}  // namespace fieldloop::ingestion
