// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/training_set.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/common/status/status_macros.h"
#include "tests/services/build/support/recipes.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Keeps everything in memory.
class MemoryTrainingSet final : public TrainingSetWriter {
 public:
  absl::Status Append(Side side, const float* values, std::size_t count) override {
    (side == Side::kTraining ? train : test).emplace_back(values, values + count);
    return absl::OkStatus();
  }
  absl::Status Finish(const TrainingRows& finished) override {
    rows = finished;
    return absl::OkStatus();
  }
  absl::Status ReadTesting(Sink sink) override {
    auto row = rows.test.begin();
    for (std::size_t i = 0; i < test.size(); ++i) {
      if (rows.test_kept[i]) {
        FIELDLOOP_RETURN_IF_ERROR(sink(*row++, test[i].data(), test[i].size()));
      }
    }
    return absl::OkStatus();
  }
  std::vector<std::vector<float>> train;
  std::vector<std::vector<float>> test;
  TrainingRows rows;
};

class TrainingSetTest : public ::testing::Test {
 protected:
  absl::StatusOr<TrainingSetSummary> Build(const std::vector<SourceSample>& samples) {
    set_ = std::make_unique<MemoryTrainingSet>();
    TrainingSetBuilder builder(recipe_, *set_);
    for (const SourceSample& sample : samples) {
      FIELDLOOP_RETURN_IF_ERROR(builder.Add(sample));
    }
    return builder.Finish(VersionDigest(samples));
  }

  ImpulseRecipe recipe_ = SmallRecipe();
  std::unique_ptr<MemoryTrainingSet> set_;
};

TEST_F(TrainingSetTest, ASideThatNoTrainerCouldHoldIsRefusedWithWhatToChange) {
  recipe_.window.length = 65535;
  recipe_.window.stride = 65535;
  recipe_.learning.training_stride = 1;
  const auto summary = Build({SmallSample("a", "walk", 65535 + 2100)});
  EXPECT_THAT(summary, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(
      summary.status().message(),
      "the training side has more than 2048 windows of 131070 values, more than a trainer can "
      "hold; want fewer samples, a lower frequency_hz or a longer learning.training_stride");
}

TEST_F(TrainingSetTest, GivenClassesKeepTheirOrderAndOtherLabelsAreNone) {
  set_ = std::make_unique<MemoryTrainingSet>();
  TrainingSetBuilder builder(recipe_, *set_, {"walk", "run"});
  const std::vector<SourceSample> samples = {
      SmallSample("a", "walk", 2), SmallSample("b", "sit", 2), SmallSample("c", "run", 2),
      SmallSample("d", "sit", 2, /*testing=*/true), SmallSample("e", "run", 2, /*testing=*/true)};
  for (const SourceSample& sample : samples) {
    ASSERT_THAT(builder.Add(sample), IsOk());
  }
  const auto summary = builder.Finish(VersionDigest(samples));
  ASSERT_THAT(summary, IsOk());
  EXPECT_THAT(summary->classes, ElementsAre("walk", "run"));
  ASSERT_EQ(set_->rows.train.size(), 3U);
  EXPECT_EQ(set_->rows.train[0].label, 1);
  EXPECT_EQ(set_->rows.train[1].label, 0);
  EXPECT_EQ(set_->rows.train[2].label, 2);
  ASSERT_EQ(set_->rows.test.size(), 1U);
  EXPECT_EQ(set_->rows.test[0].label, 2);
}

TEST_F(TrainingSetTest, WindowsCarrySortedLabelsSamplesAndTimes) {
  const auto summary = Build({SmallSample("a", "walk", 4), SmallSample("b", "run", 3)});
  ASSERT_THAT(summary, IsOk());
  EXPECT_THAT(summary->classes, ElementsAre("run", "walk"));
  EXPECT_THAT(set_->train, ElementsAre(ElementsAre(0, 0, 1, -1), ElementsAre(2, -2, 3, -3),
                                       ElementsAre(0, 0, 1, -1)));
  EXPECT_THAT(set_->rows.train,
              ElementsAre(WindowRow{.label = 2, .sample = 0, .start_ms = 0, .end_ms = 20},
                          WindowRow{.label = 2, .sample = 0, .start_ms = 20, .end_ms = 40},
                          WindowRow{.label = 1, .sample = 1, .start_ms = 0, .end_ms = 20}));
}

TEST_F(TrainingSetTest, TheTrainingSideHasItsOwnStrideAndPurityAndTheTestingSideIsPure) {
  recipe_.window.length = 4;
  recipe_.window.stride = 4;
  recipe_.learning.training_stride = 1;
  recipe_.label_purity = 0.75;
  SourceSample train = SmallSample("a", "walk", 8);
  // Readings 0 to 2 walk, 3 to 7 run: the windows from 0 and 2 on are three quarters one label.
  train.labels = {{.start = 0, .end = 2, .label = "walk"}, {.start = 3, .end = -1, .label = "run"}};
  SourceSample test = train;
  test.digest = ToHex(Sha256Of("t"));
  test.testing = true;
  const auto summary = Build({train, test});
  ASSERT_THAT(summary, IsOk());
  std::vector<std::int32_t> starts;
  std::vector<std::int32_t> labels;
  for (const WindowRow& row : set_->rows.train) {
    starts.push_back(row.start_ms);
    labels.push_back(row.label);
  }
  EXPECT_THAT(starts, ElementsAre(0, 20, 30, 40));
  EXPECT_THAT(labels, ElementsAre(2, 1, 1, 1));
  EXPECT_THAT(set_->rows.test,
              ElementsAre(WindowRow{.label = 1, .sample = 1, .start_ms = 40, .end_ms = 80}));
}

TEST_F(TrainingSetTest, AShortRecordingIsAWindowIfTheRecipePadsIt) {
  recipe_.window.length = 5;
  recipe_.window.stride = 5;
  const std::vector<SourceSample> samples = {SmallSample("a", "walk", 2),
                                             SmallSample("b", "run", 3)};
  EXPECT_THAT(Build(samples), StatusIs(absl::StatusCode::kFailedPrecondition));
  recipe_.window.pad_short = true;
  ASSERT_THAT(Build(samples), IsOk());
  EXPECT_THAT(set_->train, ElementsAre(ElementsAre(0, 0, 0, 0, 1, -1, 0, 0, 0, 0),
                                       ElementsAre(0, 0, 0, 0, 1, -1, 2, -2, 0, 0)));
}

TEST_F(TrainingSetTest, AxesAreTakenByNameAndTheRateIsTheRecipes) {
  SourceSample sample = SmallSample("a", "walk", 4);
  sample.axes = {"y", "x"};
  sample.frequency_hz = 50;
  const auto summary = Build({sample, SmallSample("b", "run", 2)});
  ASSERT_THAT(summary, IsOk());
  EXPECT_THAT(set_->train[0], ElementsAre(0, 0, -0.5, 0.5));
  EXPECT_THAT(set_->train[1], ElementsAre(-1, 1, -1.5, 1.5));
}

TEST_F(TrainingSetTest, TestingWindowsOfALabelThatIsNeverTrainedAreLeftOut) {
  const auto summary = Build({SmallSample("a", "walk", 2), SmallSample("b", "run", 2),
                              SmallSample("c", "swim", 2, /*testing=*/true),
                              SmallSample("d", "walk", 2, /*testing=*/true)});
  ASSERT_THAT(summary, IsOk());
  EXPECT_EQ(summary->testing_windows, 1);
  EXPECT_THAT(set_->rows.test_kept, ElementsAre(false, true));
  ASSERT_EQ(set_->rows.test.size(), 1U);
  EXPECT_EQ(set_->rows.test[0].sample, 3);
}

TEST_F(TrainingSetTest, GroupsAreByDeviceByMetadataOrBySample) {
  std::vector<SourceSample> samples = {SmallSample("a", "walk", 4), SmallSample("b", "run", 2),
                                       SmallSample("c", "run", 2), SmallSample("d", "run", 2)};
  samples[0].device = "projects/motor/devices/one";
  samples[0].from_device = true;
  samples[2].device = samples[0].device;
  samples[2].from_device = true;
  samples[1].metadata = {{"wearer", "ann"}};
  samples[3].metadata = {{"wearer", "ann"}};

  ASSERT_THAT(Build(samples), IsOk());
  EXPECT_THAT(set_->rows.train_groups, ElementsAre(0, 0, 1, 2, 3));
  EXPECT_THAT(set_->rows.train_sources, ElementsAre(1, 1, 0, 1, 0));
  recipe_.learning.group_key = "device";
  ASSERT_THAT(Build(samples), IsOk());
  EXPECT_THAT(set_->rows.train_groups, ElementsAre(0, 0, 1, 0, 2));
  recipe_.learning.group_key = "wearer";
  ASSERT_THAT(Build(samples), IsOk());
  EXPECT_THAT(set_->rows.train_groups, ElementsAre(0, 0, 1, 2, 1));
}

TEST_F(TrainingSetTest, OneClassIsNotEnough) {
  const auto summary = Build({SmallSample("a", "walk", 4), SmallSample("b", "run", 1)});
  EXPECT_THAT(summary, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(summary.status().message()), HasSubstr("2 windows of 1 labels"));
}

TEST_F(TrainingSetTest, ASampleWithoutAnAxisIsNamed) {
  SourceSample sample = SmallSample("a", "walk", 4);
  sample.axes = {"x", "z"};
  const auto summary = Build({sample});
  EXPECT_THAT(summary, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(summary.status().message()),
              HasSubstr("projects/motor/samples/a: axes: got x, z, want y"));
}

TEST_F(TrainingSetTest, AValueThatIsNoNumberIsRefused) {
  SourceSample sample = SmallSample("a", "walk", 4);
  sample.values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Build({sample}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrainingSetTest, SamplesThatAreNotTheVersionsAreDataLoss) {
  MemoryTrainingSet set;
  TrainingSetBuilder builder(recipe_, set);
  ASSERT_THAT(builder.Add(SmallSample("a", "walk", 4)), IsOk());
  ASSERT_THAT(builder.Add(SmallSample("b", "run", 4)), IsOk());
  EXPECT_THAT(builder.Finish(VersionDigest({SmallSample("a", "walk", 4)})),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace fieldloop::build
