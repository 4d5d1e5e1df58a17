// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/wav_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/ingestion/formats/wav_file.h"
#include "tests/services/ingestion/support/ingestion_fakes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::ingestion {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view bytes) {
  const auto recording = ParseWav(bytes);
  EXPECT_THAT(recording, StatusIs(absl::StatusCode::kInvalidArgument));
  return std::string(recording.status().message());
}

TEST(WavFormatTest, MonoIsOneAxisOfIntegers) {
  const auto recording = ParseWav(WavFile(1, 8000, {0, 1, -1, 32767, -32768}));
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("audio"));
  EXPECT_THAT(recording->values, ElementsAre(0, 1, -1, 32767, -32768));
  EXPECT_EQ(recording->readings, 5);
  EXPECT_EQ(recording->frequency_hz, 8000);
}

TEST(WavFormatTest, EachChannelIsAnAxis) {
  const auto recording = ParseWav(WavFile(2, 16000, {1, 2, 3, 4}));
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->axes, ElementsAre("audio0", "audio1"));
  EXPECT_THAT(recording->values, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(recording->readings, 2);
}

TEST(WavFormatTest, ChunksInBetweenAreSkipped) {
  std::string file = WavFile(1, 8000, {7});
  file.insert(36, std::string("LIST\x03\x00\x00\x00"
                              "abc\x00",
                              12));
  const auto recording = ParseWav(file);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(7));
}

TEST(WavFormatTest, EveryErrorNamesTheByteAndTheChunk) {
  const std::string good = WavFile(1, 8000, {1, 2});
  EXPECT_THAT(ErrorOf("RIFX"), HasSubstr("byte 0: got \"RIFX\""));
  EXPECT_THAT(ErrorOf(good.substr(0, good.size() - 1)),
              HasSubstr("byte 36, chunk \"data\": got 3 bytes until the end of the file, want 4"));
  EXPECT_THAT(ErrorOf(good.substr(0, 36)), HasSubstr("want a chunk \"data\""));
  std::string file = good;
  file[34] = 8;
  EXPECT_THAT(ErrorOf(file), HasSubstr("got encoding 1 with 8 bits, want PCM"));
  file = good;
  file[22] = 0;
  EXPECT_THAT(ErrorOf(file), HasSubstr("got 0 channels"));
  file = good;
  file[24] = file[25] = 0;
  EXPECT_THAT(ErrorOf(file), HasSubstr("a rate of 0 Hz"));
  file = good;
  file[32] = 4;
  EXPECT_THAT(ErrorOf(file), HasSubstr("a block of 4 bytes"));
  EXPECT_THAT(ErrorOf(WavFile(2, 8000, {1, 2, 3})), HasSubstr("a multiple of 4"));
  EXPECT_THAT(ErrorOf(WavFile(1, 8000, {})), HasSubstr("more than 0"));
}

TEST(WavFormatTest, ARealSpokenDigitIsRead) {
  const std::string bytes = SharedData("fsdd/recordings/7_theo_2.wav");
  if (bytes.empty()) {
    GTEST_SKIP() << "no shared data";
  }
  const auto recording = ParseWav(bytes);
  ASSERT_THAT(recording, IsOk());
  EXPECT_EQ(recording->frequency_hz, 8000);
  EXPECT_EQ(recording->readings, static_cast<std::int64_t>(bytes.size() - 44) / 2);
}

TEST(WavFormatTest, ARealFloatFileIsRefusedWithItsEncoding) {
  const std::string bytes = SharedData("edge-impulse/samples/hadouken.01.wav");
  if (bytes.empty()) {
    GTEST_SKIP() << "no shared data";
  }
  EXPECT_THAT(ErrorOf(bytes), HasSubstr("got encoding 3 with 32 bits"));
}

}  // namespace
}  // namespace fieldloop::ingestion
