// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/formats/wav_format.h"

#include <cmath>
#include <string_view>

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

TEST(WavFormatTest, EveryDepthIsReadInUnitsOf16Bit) {
  using namespace std::string_view_literals;
  const auto read = [](int code, int bits, std::string_view data) {
    const auto recording = ParseWav(WavFileOf(code, bits, 1, 8000, data));
    EXPECT_THAT(recording, IsOk()) << code << " " << bits;
    return recording.ok() ? recording->values : std::vector<float>{};
  };
  EXPECT_THAT(read(1, 8, "\x00\x80\xff"sv), ElementsAre(-32768, 0, 32512));
  EXPECT_THAT(read(1, 24, "\x00\x00\x80\x00\x01\x00\x80\xff\xff"sv), ElementsAre(-32768, 1, -0.5));
  EXPECT_THAT(read(1, 32, "\x00\x00\x00\x80\x00\x80\x01\x00"sv), ElementsAre(-32768, 1.5));
  EXPECT_THAT(read(3, 32, "\x00\x00\x80\x3f\x00\x00\x00\xbf"sv), ElementsAre(32768, -16384));
  EXPECT_THAT(read(3, 64, "\x00\x00\x00\x00\x00\x00\xf0\x3f"sv), ElementsAre(32768));
}

TEST(WavFormatTest, TheExtensibleFormIsRead) {
  // Size of the extension, valid bits, channel mask, and the rest of the encoding's GUID.
  std::string file = WavFileOf(0xfffe, 16, 1, 8000, std::string_view("\x07\x00", 2));
  std::string extension("\x16\x00\x10\x00\x04\x00\x00\x00\x01\x00", 10);
  extension += std::string("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71", 14);
  file.insert(36, extension);
  file[16] = 40;
  const auto recording = ParseWav(file);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(7));
}

TEST(WavFormatTest, DataOfUnknownSizeGoesToTheEndOfTheFile) {
  for (const char size : {'\x00', '\xff'}) {
    std::string file = WavFile(1, 8000, {1, 2, 3});
    file.replace(40, 4, 4, size);
    const auto recording = ParseWav(file);
    ASSERT_THAT(recording, IsOk());
    EXPECT_THAT(recording->values, ElementsAre(1, 2, 3));
    EXPECT_THAT(recording->flags, ::testing::IsEmpty());
  }
}

TEST(WavFormatTest, WhatIsThereOfATruncatedFileIsReadAndFlagged) {
  const std::string file = WavFile(2, 8000, {1, 2, 3, 4});
  const auto recording = ParseWav(file.substr(0, file.size() - 1));
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(1, 2));
  EXPECT_THAT(recording->flags, ElementsAre("truncated"));
  EXPECT_THAT(ParseWav(WavFile(2, 8000, {1, 2, 3}))->flags, ElementsAre("truncated"));
}

TEST(WavFormatTest, AnOddChunkMayLackItsPadding) {
  std::string file = WavFile(1, 8000, {7});
  file.insert(36, std::string("LIST\x03\x00\x00\x00"
                              "abc",
                              11));
  const auto recording = ParseWav(file);
  ASSERT_THAT(recording, IsOk());
  EXPECT_THAT(recording->values, ElementsAre(7));
}

TEST(WavFormatTest, FullScaleForThreeReadingsIsClippingAndNanIsFlagged) {
  EXPECT_THAT(ParseWav(WavFile(1, 8000, {0, 32767, 32767, 32767, 0}))->flags,
              ElementsAre("clipping", "clipping:audio"));
  EXPECT_THAT(ParseWav(WavFileOf(3, 32, 1, 8000, FloatBytes({0, std::nanf(""), 1})))->flags,
              ElementsAre("nan", "nan:audio"));
}

TEST(WavFormatTest, EveryErrorNamesTheByteAndTheChunk) {
  const std::string good = WavFile(1, 8000, {1, 2});
  EXPECT_THAT(ErrorOf("RIFX"), HasSubstr("byte 0: got \"RIFX\""));
  EXPECT_THAT(ErrorOf(good.substr(0, 45)),
              HasSubstr("byte 36, chunk \"data\": got 1 bytes, want at least one reading of 2"));
  EXPECT_THAT(
      ErrorOf(good.substr(0, 30)),
      HasSubstr("byte 12, chunk \"fmt \": got 10 bytes until the end of the file, want 16"));
  EXPECT_THAT(ErrorOf(good.substr(0, 36)), HasSubstr("want a chunk \"data\""));
  std::string file = good;
  file[34] = 12;
  EXPECT_THAT(ErrorOf(file), HasSubstr("got encoding 1 with 12 bits, want PCM"));
  file = good;
  file[22] = 0;
  EXPECT_THAT(ErrorOf(file), HasSubstr("got 0 channels"));
  file = good;
  file[24] = file[25] = 0;
  EXPECT_THAT(ErrorOf(file), HasSubstr("a rate of 0 Hz"));
  file = good;
  file[32] = 4;
  EXPECT_THAT(ErrorOf(file), HasSubstr("a block of 4 bytes"));
  EXPECT_THAT(ErrorOf(WavFile(1, 8000, {})), HasSubstr("got 0 bytes, want at least one reading"));
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

}  // namespace
}  // namespace fieldloop::ingestion
