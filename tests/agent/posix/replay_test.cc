// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "agent/ports/posix/replay.h"

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/ports/posix/sensor.h"
#include "tests/agent/posix/temporary_directory.h"
#include "tests/services/ingestion/formats/wav_file.h"

namespace fieldloop::agent {
namespace {

using ingestion::WavFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ReplayTest : public ::testing::Test {
 protected:
  ~ReplayTest() override { fl_replay_free(&replay_); }

  fl_status_t Load(const std::vector<std::string>& paths, double frequency_hz = 100,
                   std::vector<const char*> axes = {"x"}) {
    fl_replay_free(&replay_);
    std::vector<const char*> raw;
    for (const std::string& path : paths) raw.push_back(path.c_str());
    return fl_replay_load(&replay_, raw.data(), raw.size(), axes.data(), axes.size(), frequency_hz,
                          "label");
  }
  std::vector<float> Values(size_t segment) const {
    const fl_segment_t& s = replay_.segments[segment];
    return {s.values, s.values + s.readings};
  }
  std::vector<std::string> Labels(size_t segment) const {
    std::vector<std::string> labels;
    const fl_segment_t& s = replay_.segments[segment];
    for (size_t i = 0; i < s.readings; ++i) {
      labels.emplace_back(s.labels[i] < 0 ? "-" : replay_.labels[s.labels[i]]);
    }
    return labels;
  }

  TemporaryDirectory directory_;
  fl_replay_t replay_ = {};
};

TEST_F(ReplayTest, InterpolatesIrregularTimestampsToTheRate) {
  const std::string path = directory_.Write("a.csv",
                                            "x,timestamp,label\n"
                                            "0,1000,a\n"
                                            "8,1008,a\n"
                                            "14,1014,b\r\n"
                                            "40,1040,b\n");
  ASSERT_EQ(Load({path}), FL_OK);
  ASSERT_EQ(replay_.segment_count, 1u);
  EXPECT_THAT(Values(0), ElementsAre(0, 10, 20, 30, 40));
  EXPECT_THAT(Labels(0), ElementsAre("a", "a", "b", "b", "b"));
}

TEST_F(ReplayTest, FindsTheColumnsByTheModelsNamesInItsOrder) {
  const std::string path = directory_.Write("a.csv",
                                            "timestamp,y,ignored,x\n"
                                            "0,1,9,2\n"
                                            "10,3,9,4\n");
  ASSERT_EQ(Load({path}, 100, {"x", "y"}), FL_OK);
  const fl_segment_t& s = replay_.segments[0];
  EXPECT_THAT(std::vector<float>(s.values, s.values + 4), ElementsAre(2, 1, 4, 3));
  double purity = 1;
  EXPECT_EQ(fl_replay_label(&replay_, 0, 0, 2, &purity), nullptr);
}

TEST_F(ReplayTest, LeavesOutRowsWhoseTimeDoesNotIncrease) {
  const std::string path =
      directory_.Write("a.csv", "timestamp,x\n0,0\n10,10\n10,99\n5,99\n20,20\n");
  ASSERT_EQ(Load({path}), FL_OK);
  EXPECT_THAT(Values(0), ElementsAre(0, 10, 20));
}

TEST_F(ReplayTest, AGapOfMoreThanASecondBeginsANewSegment) {
  const std::string path = directory_.Write("a.csv", "timestamp,x\n0,0\n10,1\n1011,2\n1021,3\n");
  ASSERT_EQ(Load({path}), FL_OK);
  ASSERT_EQ(replay_.segment_count, 2u);
  EXPECT_THAT(Values(1), ElementsAre(2, 3));
}

TEST_F(ReplayTest, ReadsAWavFileAsTheAxisAudio) {
  const std::string path = directory_.Write("a.wav", WavFile(1, 8000, {0, 1, -1, 32767, -32768}));
  ASSERT_EQ(Load({path}, 8000, {"audio"}), FL_OK);
  ASSERT_EQ(replay_.segment_count, 1u);
  EXPECT_THAT(Values(0), ElementsAre(0, 1, -1, 32767, -32768));
  EXPECT_THAT(Labels(0), ElementsAre("-", "-", "-", "-", "-"));
  // At half the rate every second value stays.
  ASSERT_EQ(Load({path}, 4000, {"audio"}), FL_OK);
  EXPECT_THAT(Values(0), ElementsAre(0, -1, -32768));
}

TEST_F(ReplayTest, TheChannelsOfAWavFileAreNumbered) {
  const std::string path = directory_.Write("a.wav", WavFile(2, 100, {1, 2, 3, 4}));
  ASSERT_EQ(Load({path}, 100, {"audio1"}), FL_OK);
  EXPECT_THAT(Values(0), ElementsAre(2, 4));
  EXPECT_EQ(Load({path}, 100, {"audio"}), FL_ERR_NOT_FOUND);
  EXPECT_THAT(replay_.error, HasSubstr("no channel 'audio'"));
}

TEST_F(ReplayTest, ABrokenWavFileIsRefused) {
  const std::string whole = WavFile(1, 8000, std::vector<std::int16_t>(20, 7));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(Load({directory_.Write("a.wav", whole.substr(0, size))}, 8000, {"audio"}),
              FL_ERR_CORRUPT)
        << size;
  }
  EXPECT_THAT(replay_.error, HasSubstr("a.wav: no WAV file"));
  const auto changed = [&](size_t at, char value) {
    std::string file = whole;
    file[at] = value;
    return Load({directory_.Write("a.wav", file)}, 8000, {"audio"});
  };
  EXPECT_EQ(changed(20, 3), FL_ERR_UNSUPPORTED);  // Floats.
  EXPECT_EQ(changed(34, 8), FL_ERR_UNSUPPORTED);  // 8 bits.
  EXPECT_EQ(changed(22, 0), FL_ERR_CORRUPT);      // No channel.
  EXPECT_EQ(changed(32, 4), FL_ERR_CORRUPT);      // Another block.
  EXPECT_EQ(changed(43, 1), FL_ERR_CORRUPT);      // More data than there is.
}

TEST_F(ReplayTest, ReadsTheRecordingsOfADirectoryInTheirOrder) {
  std::filesystem::create_directory(directory_.path() + "/d");
  directory_.Write("d/2.csv", "timestamp,x\n0,2\n10,2\n");
  directory_.Write("d/1.csv", "timestamp,x\n0,1\n10,1\n");
  directory_.Write("d/readme.txt", "not a recording");
  ASSERT_EQ(Load({directory_.path() + "/d"}), FL_OK);
  ASSERT_EQ(replay_.segment_count, 2u);
  EXPECT_THAT(Values(0), ElementsAre(1, 1));
  std::filesystem::create_directory(directory_.path() + "/w");
  directory_.Write("w/2.wav", WavFile(1, 100, {2, 2}));
  directory_.Write("w/1.csv", "timestamp,audio\n0,1\n10,1\n");
  ASSERT_EQ(Load({directory_.path() + "/w"}, 100, {"audio"}), FL_OK);
  ASSERT_EQ(replay_.segment_count, 2u);
  EXPECT_THAT(Values(1), ElementsAre(2, 2));
}

TEST_F(ReplayTest, SaysWhatIsWrong) {
  EXPECT_EQ(Load({directory_.path() + "/missing.csv"}), FL_ERR_NOT_FOUND);
  EXPECT_THAT(replay_.error, HasSubstr("missing.csv"));
  EXPECT_EQ(Load({directory_.Write("a.csv", "timestamp,y\n0,0\n")}), FL_ERR_NOT_FOUND);
  EXPECT_THAT(replay_.error, HasSubstr("no column 'x'"));
  EXPECT_EQ(Load({directory_.Write("a.csv", "x\n0\n")}), FL_ERR_NOT_FOUND);
  EXPECT_THAT(replay_.error, HasSubstr("no column 'timestamp'"));
  EXPECT_EQ(Load({directory_.Write("a.csv", "timestamp,x\n0,1\n10,abc\n")}), FL_ERR_CORRUPT);
  EXPECT_THAT(replay_.error, HasSubstr("a.csv:3: column 'x' is no number"));
  EXPECT_EQ(Load({directory_.Write("a.csv", "timestamp,x\nsoon,1\n")}), FL_ERR_CORRUPT);
  EXPECT_EQ(Load({directory_.Write("a.csv", "timestamp,x\n0\n")}), FL_ERR_CORRUPT);
  EXPECT_EQ(Load({directory_.Write("a.csv", "")}), FL_ERR_CORRUPT);
}

TEST_F(ReplayTest, TheLabelOfAWindowIsThatOfMostReadings) {
  const std::string path = directory_.Write(
      "a.csv", "timestamp,x,label\n0,0,a\n10,0,b\n20,0,b\n30,0,b\n40,0,c\n50,0,c\n");
  ASSERT_EQ(Load({path}), FL_OK);
  double purity = 0;
  EXPECT_STREQ(fl_replay_label(&replay_, 0, 0, 5, &purity), "b");
  EXPECT_DOUBLE_EQ(purity, 0.6);
  EXPECT_STREQ(fl_replay_label(&replay_, 0, 1, 3, &purity), "b");
  EXPECT_DOUBLE_EQ(purity, 1.0);
}

TEST_F(ReplayTest, ReadsARecordingOfASmartphone) {
  const std::string path = std::string(FIELDLOOP_SHARED_DATA_DIR) + "/sp-sw-har/s01/s01_01_sp.csv";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no recordings at " << path;
  ASSERT_EQ(Load({path}, 50, {"x_acc", "y_acc", "z_acc", "x_gyro", "y_gyro", "z_gyro"}), FL_OK);
  ASSERT_GE(replay_.segment_count, 1u);
  EXPECT_GT(replay_.segments[0].readings, 300u);
  EXPECT_EQ(Labels(0).front(), "SEATED");
  EXPECT_LE(replay_.label_count, 5u);
}

class SensorTest : public ReplayTest {
 protected:
  void SetUp() override {
    std::string a = "timestamp,x\n";
    std::string b = "timestamp,x\n";
    for (int i = 0; i < 100; ++i) a += std::to_string(10 * i) + "," + std::to_string(i) + "\n";
    for (int i = 0; i < 53; ++i) {
      b += std::to_string(10 * i) + "," + std::to_string(1000 + i) + "\n";
    }
    ASSERT_EQ(Load({directory_.Write("a.csv", a), directory_.Write("b.csv", b)}), FL_OK);
  }
  fl_status_t Start(double speed, uint64_t seed = 1, uint64_t source = 5) {
    return fl_sensor_start(&sensor_, &replay_, source, 1, 20, 10, 100, speed, seed, now_ms_);
  }
  fl_sensor_t sensor_ = {};
  fl_sensor_window_t window_ = {};
  uint64_t now_ms_ = 1000;
};

TEST_F(SensorTest, WindowsAreDueWhenTheirLastReadingIsThere) {
  sensor_.at.clock_ms = 5'000'000;
  sensor_.at.source = 5;  // Known: begin where it says.
  ASSERT_EQ(Start(2.0), FL_OK);
  EXPECT_EQ(fl_sensor_due_ms(&sensor_), 1100u) << "200 ms of signal at twice the speed";
  EXPECT_FALSE(fl_sensor_take(&sensor_, 1099, &window_));
  ASSERT_TRUE(fl_sensor_take(&sensor_, 1100, &window_));
  EXPECT_EQ(window_.start_ms, 5'000'000u);
  EXPECT_EQ(window_.stride_ms, 100u);
  EXPECT_EQ(window_.values[0], 0.0F);
  EXPECT_FALSE(fl_sensor_take(&sensor_, 1149, &window_));
  ASSERT_TRUE(fl_sensor_take(&sensor_, 1150, &window_));
  EXPECT_EQ(window_.start_ms, 5'000'100u);
  EXPECT_EQ(window_.first_reading, 10u);
  EXPECT_EQ(window_.values[0], 10.0F);
}

TEST_F(SensorTest, WindowsNeverSpanTwoFilesAndTheClockNeverGoesBack) {
  ASSERT_EQ(Start(1000.0), FL_OK);
  uint64_t last_end = 0;
  size_t last_segment = 99;
  for (int i = 0; i < 100; ++i) {
    now_ms_ += 1;
    ASSERT_TRUE(fl_sensor_take(&sensor_, now_ms_, &window_));
    EXPECT_EQ(window_.values[19] - window_.values[0], 19.0F);
    if (window_.segment != last_segment) {
      EXPECT_GE(window_.start_ms, last_end);
    }
    last_segment = window_.segment;
    last_end = window_.start_ms + 200;
  }
}

TEST_F(SensorTest, TheSeedDecidesWhereItBegins) {
  std::set<std::pair<size_t, size_t>> starts;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    sensor_ = {};
    ASSERT_EQ(Start(1.0, seed), FL_OK);
    const auto start = std::make_pair(sensor_.at.segment, sensor_.at.offset);
    starts.insert(start);
    sensor_ = {};
    ASSERT_EQ(Start(1.0, seed), FL_OK);
    EXPECT_EQ(std::make_pair(sensor_.at.segment, sensor_.at.offset), start);
  }
  EXPECT_GT(starts.size(), 8u);
}

TEST_F(SensorTest, GoesOnWhereItWasAfterARestart) {
  sensor_.at.clock_ms = 7'000'000;
  ASSERT_EQ(Start(1000.0), FL_OK);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(fl_sensor_take(&sensor_, now_ms_ += 10, &window_));
  const std::string path = directory_.path() + "/sensor.clock";
  ASSERT_EQ(fl_sensor_save(path.c_str(), &sensor_.at), FL_OK);
  const fl_sensor_position_t before = sensor_.at;

  sensor_ = {};
  ASSERT_EQ(fl_sensor_load(path.c_str(), &sensor_.at), FL_OK);
  ASSERT_EQ(Start(1000.0), FL_OK);
  ASSERT_TRUE(fl_sensor_take(&sensor_, now_ms_ += 10, &window_));
  EXPECT_EQ(window_.start_ms, before.clock_ms);
  EXPECT_EQ(window_.first_reading, before.first_reading);
  EXPECT_EQ(window_.segment, before.segment);
  EXPECT_EQ(window_.offset, before.offset);
}

TEST_F(SensorTest, ACallerThatFallsBehindLosesNoWindow) {
  ASSERT_EQ(Start(1.0), FL_OK);
  ASSERT_TRUE(fl_sensor_take(&sensor_, now_ms_ + 60'000, &window_));
  const uint64_t start = window_.start_ms;
  int taken = 0;
  while (fl_sensor_take(&sensor_, now_ms_ + 60'000, &window_)) ++taken;
  EXPECT_LE(taken, 11) << "a minute of lag is not made good in a burst";
  EXPECT_LE(window_.start_ms - start, 1200u);
}

TEST_F(SensorTest, RecordingsShorterThanAWindowPlayNothing) {
  EXPECT_EQ(fl_sensor_start(&sensor_, &replay_, 5, 1, 500, 10, 100, 1, 1, 0), FL_ERR_NOT_FOUND);
  EXPECT_EQ(fl_sensor_due_ms(&sensor_), UINT64_MAX);
}

}  // namespace
}  // namespace fieldloop::agent
