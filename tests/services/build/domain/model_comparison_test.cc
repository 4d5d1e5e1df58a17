// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/model_comparison.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/build/domain/reasons.h"
#include "services/common/status/error_reason.h"
#include "tests/services/build/support/fakes.h"
#include "tests/services/build/support/test_database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;

// A model that looks at the first value of a window only.
struct Scripted {
  Window window = SmallRecipe().window;
  std::vector<std::string> classes = {"run", "walk"};
  std::function<int(float)> classify;
};

class ScriptedJudge final : public ModelJudge {
 public:
  absl::StatusOr<std::unique_ptr<OpenedModel>> Open(std::string file) override {
    return std::make_unique<Opened>(models.at(file));
  }
  std::map<std::string, Scripted> models;  // By the content of the file.

 private:
  class Opened final : public OpenedModel {
   public:
    explicit Opened(Scripted script) : script_(std::move(script)) {}
    const Window& window() const override { return script_.window; }
    const std::vector<std::string>& classes() const override { return script_.classes; }
    std::int64_t cortex_m4_instructions() const override { return 0; }
    int Classify(const float* window) override { return script_.classify(window[0]); }
    absl::Duration MeasureLatency() override { return absl::ZeroDuration(); }

   private:
    const Scripted script_;
  };
};

class ModelComparisonTest : public ::testing::Test {
 protected:
  ModelComparisonTest() {
    datasets_.samples = {SmallSample("a", "run", 6), Testing("b", "walk", 4, "s01"),
                         Testing("c", "run", 6, "s02"), Testing("d", "swim", 4, "s01")};
    datasets_.samples[2].from_device = true;
    // Windows of "b" begin with 0 and 2; those of "c" with 0, 2 and 4.
    Add("always run", {.classify = [](float) { return 0; }});
    Add("run above 1", {.classify = [](float x) { return x > 1 ? 0 : 1; }});
  }

  static SourceSample Testing(const std::string& id, const std::string& label, int readings,
                              const std::string& person) {
    SourceSample sample = SmallSample(id, label, readings, /*testing=*/true);
    sample.metadata["person"] = person;
    return sample;
  }

  // Registers the next model of "projects/motor".
  void Add(const std::string& file, Scripted script, const std::string& project = "motor") {
    judge_.models[file] = std::move(script);
    Build build;
    build.project = project;
    const absl::StatusOr<Build> stored = database_.builds().Insert(build, 1000);
    ASSERT_THAT(stored, IsOk());
    Model model;
    model.project = project;
    model.digest = blobs_->Put(file)->digest;
    model.size_bytes = static_cast<std::int64_t>(file.size());
    model.metrics = {{.name = "accuracy", .value = 0.1 * static_cast<double>(stored->number)}};
    ASSERT_THAT(database_.builds().FinishWithModel(project, stored->number, model,
                                                   [](Build&) { return absl::OkStatus(); }),
                IsOk());
  }

  absl::StatusOr<ModelComparison> Compare(const std::string& second = "2",
                                          const std::string& version = FakeDatasets::kVersion,
                                          const std::vector<std::string>& keys = {}) {
    return comparer_.Compare({.first = "projects/motor/models/1",
                              .second = "projects/motor/models/" + second,
                              .dataset_version = version,
                              .slice_keys = keys},
                             [this] { return cancelled_; });
  }

  static ComparisonRow Row(const std::string& name, const std::string& slice,
                           std::optional<double> first, std::optional<double> second) {
    return {.name = name, .slice = slice, .first = first, .second = second};
  }

  TestDatabase database_;
  ::fieldloop::testing::FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ = *OpenFolderBlobStore(database_.folder() + "/blobs");
  FakeDatasets datasets_;
  ScriptedJudge judge_;
  bool cancelled_ = false;
  ModelRegistry models_{database_.models(), *blobs_, clock_};
  ModelComparer comparer_{{.models = models_,
                           .judge = judge_,
                           .datasets = datasets_,
                           .blobs = *blobs_,
                           .clock = clock_}};
};

TEST_F(ModelComparisonTest, WithoutADatasetVersionTheFiguresAreThoseOfTheRegistry) {
  const auto comparison = Compare("2", "");
  ASSERT_THAT(comparison, IsOk());
  EXPECT_THAT(
      comparison->rows,
      ElementsAre(Row("size_bytes", "all", 10, 11), Row("arena_bytes", "all", 0, 0),
                  Row("cortex_m4_instructions", "all", 0, 0),
                  Row("host_inference_nanos", "all", 0, 0), Row("accuracy", "all", 0.1, 0.2)));
}

TEST_F(ModelComparisonTest, BothAreRunOnTheTestingWindowsOfTheirClasses) {
  const auto comparison = Compare("2", FakeDatasets::kVersion, {"person"});
  ASSERT_THAT(comparison, IsOk());
  EXPECT_EQ(comparison->both_right, 2);         // "c" at 2 and 4.
  EXPECT_EQ(comparison->only_first_right, 1);   // "c" at 0.
  EXPECT_EQ(comparison->only_second_right, 1);  // "b" at 0.
  EXPECT_EQ(comparison->neither_right, 1);      // "b" at 2.
  EXPECT_FALSE(comparison->partial);
  EXPECT_THAT(comparison->rows,
              IsSupersetOf({Row("size_bytes", "all", 10, 11), Row("accuracy", "all", 0.6, 0.6),
                            Row("recall/run", "all", 1, 2.0 / 3), Row("recall/walk", "all", 0, 0.5),
                            Row("precision/walk", "all", std::nullopt, 0.5),
                            Row("windows/walk", "all", 2, 2), Row("accuracy", "person=s01", 0, 0.5),
                            Row("accuracy", "person=s02", 1, 2.0 / 3),
                            Row("accuracy", "source=device", 1, 2.0 / 3),
                            Row("accuracy", "source=upload", 0, 0.5)}));
}

TEST_F(ModelComparisonTest, TheSecondModelSeesTheSameTimeOnItsOwnAxesAtItsOwnRate) {
  // At 50 Hz a window of the same length is one reading, of y only: what was (0, 0) is 0 and what
  // was (2, -2) is -2.
  Scripted other{.classify = [](float y) { return y < -1 ? 0 : 1; }};
  other.window = {.length = 1, .stride = 1, .frequency_hz = 50, .axes = {"y"}};
  Add("half the rate", other);
  const auto comparison = Compare("3");
  ASSERT_THAT(comparison, IsOk());
  EXPECT_EQ(comparison->both_right, 2);
  EXPECT_EQ(comparison->only_second_right, 1);
  EXPECT_EQ(comparison->neither_right, 1);
}

TEST_F(ModelComparisonTest, TheOrderOfTheClassesDoesNotMatter) {
  Add("run, by another index", {.classes = {"walk", "run"}, .classify = [](float) { return 1; }});
  const auto comparison = Compare("3");
  ASSERT_THAT(comparison, IsOk());
  EXPECT_EQ(comparison->both_right, 3);
  EXPECT_EQ(comparison->neither_right, 2);
}

TEST_F(ModelComparisonTest, ModelsOfOtherClassesOrWindowsAreNotCompared) {
  Add("other", {.classes = {"run", "swim"}, .classify = [](float) { return 0; }});
  Add("more", {.classes = {"run", "swim", "walk"}, .classify = [](float) { return 0; }});
  Scripted longer{.classify = [](float) { return 0; }};
  longer.window.length = 4;
  Add("longer", longer);
  for (const char* other : {"3", "4"}) {
    const absl::Status status = Compare(other).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_EQ(ReasonOf(status), kClassesDiffer);
    EXPECT_THAT(Compare(other, ""), IsOk());
  }
  const absl::Status status = Compare("5").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(status), kWindowsDiffer);
}

TEST_F(ModelComparisonTest, ACallDoesNotRunLongerThanItsLimit) {
  datasets_.before_sample = [this] { clock_.Advance(ModelComparer::kTimeLimit / 2); };
  EXPECT_THAT(Compare(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ModelComparisonTest, ACallEndsWithItsCaller) {
  cancelled_ = true;
  EXPECT_THAT(Compare(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ModelComparisonTest, OfAVeryLargeVersionTheFirstWindowsAreRun) {
  datasets_.samples = {Testing("long", "run", 2 * ModelComparer::kMaxWindows + 2, "s01"),
                       Testing("next", "run", 4, "s01")};
  const auto comparison = Compare();
  ASSERT_THAT(comparison, IsOk());
  EXPECT_TRUE(comparison->partial);
  EXPECT_THAT(comparison->rows, Contains(Row("windows/run", "all", ModelComparer::kMaxWindows,
                                             ModelComparer::kMaxWindows)));
}

TEST_F(ModelComparisonTest, WhatDoesNotBelongTogetherIsRefused) {
  Add("elsewhere", {.classify = [](float) { return 0; }}, "other");
  EXPECT_THAT(comparer_.Compare({.first = "projects/motor/models/1",
                                 .second = "projects/other/models/1",
                                 .dataset_version = "",
                                 .slice_keys = {}},
                                [] { return false; }),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Compare("2", "projects/other/datasets/gait/versions/1"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Compare("2", FakeDatasets::kVersion, std::vector<std::string>(9, "person")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Compare("99"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Compare("champion"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace fieldloop::build
