// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/import/import_plan.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

namespace iv = ingestion::v1;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ImportPlanTest : public ::testing::Test {
 protected:
  ImportPlanTest() {
    options_.project = "projects/motor";
    options_.split = "auto";
  }

  void Write(const std::string& path, const std::string& content = "x\n1\n") {
    const std::filesystem::path file = std::filesystem::path(folder_.path()) / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }

  ImportPlan Plan() {
    auto plan = PlanImport(folder_.path(), options_);
    EXPECT_THAT(plan, IsOk());
    return *std::move(plan);
  }

  // One line for each recording: name, side, labels, metadata.
  std::vector<std::string> Lines(const ImportPlan& plan) {
    std::vector<std::string> lines;
    for (const PlannedRecording& recording : plan.recordings) {
      const iv::UploadSpec& spec = recording.spec;
      std::string line =
          absl::StrCat(spec.file_name(), " ", iv::Split_Name(spec.split()).substr(6));
      for (const iv::LabelRange& range : spec.labels()) {
        absl::StrAppend(&line, " ", range.start_reading(), ":", range.end_reading(), ":",
                        range.label());
      }
      for (const auto& [key, value] :
           std::map<std::string, std::string>(spec.metadata().begin(), spec.metadata().end())) {
        absl::StrAppend(&line, " ", key, "=", value);
      }
      lines.push_back(line);
    }
    return lines;
  }

  TemporaryFolder folder_;
  ImportOptions options_;
};

TEST_F(ImportPlanTest, FoldersAreSidesAndLabels) {
  Write("idle/a.csv");
  Write("training/walk/b.WAV");
  Write("testing/walk/deep/c.json");
  Write("testing/d.cbor");
  Write("e.csv");
  EXPECT_THAT(Lines(Plan()),
              ElementsAre("e.csv UNSPECIFIED", "a.csv UNSPECIFIED 0:-1:idle", "d.cbor TESTING",
                          "c.json TESTING 0:-1:walk", "b.WAV TRAINING 0:-1:walk"));
}

TEST_F(ImportPlanTest, WhatIsNoRecordingIsSkippedAndHiddenFilesAreNotSeen) {
  Write("a.csv");
  Write("README.txt");
  Write("picture.png");
  Write(".git/b.csv");
  Write("._c.csv");
  const ImportPlan plan = Plan();
  EXPECT_THAT(Lines(plan), ElementsAre("a.csv UNSPECIFIED"));
  ASSERT_EQ(plan.skipped.size(), 2U);
  EXPECT_THAT(plan.skipped[0].first, HasSubstr("README.txt"));
}

TEST_F(ImportPlanTest, APatternGivesLabelSplitAndMetadataInPlaceOfFolders) {
  Write("x/7_theo_4.wav");
  Write("x/7_theo_5.wav");
  Write("x/other.wav");
  options_.pattern = *NamePattern::Parse("{label}_{speaker}_{index}");
  options_.testing = {*FieldRule::Parse("--testing", "index<5")};
  options_.metadata = {{"site", "lab"}};
  const ImportPlan plan = Plan();
  EXPECT_THAT(Lines(plan),
              ElementsAre("7_theo_4.wav TESTING 0:-1:7 index=4 site=lab speaker=theo",
                          "7_theo_5.wav TRAINING 0:-1:7 index=5 site=lab speaker=theo"));
  ASSERT_EQ(plan.skipped.size(), 1U);
  EXPECT_EQ(plan.skipped[0].second, "its name does not fit --pattern");
}

TEST_F(ImportPlanTest, BareNumbersNeedTheirAxesAndRateInTheIndex) {
  Write("a.f32");
  Write("b.f32");
  Write("info.labels", R"({"version":1,"files":[
    {"path":"a.f32","axes":["x","y"],"frequencyHz":62.5},{"path":"b.f32","axes":["x"]}]})");
  const ImportPlan plan = Plan();
  ASSERT_EQ(plan.recordings.size(), 1U);
  const auto& spec = plan.recordings[0].spec;
  EXPECT_EQ(spec.format(), ingestion::v1::SAMPLE_FORMAT_F32);
  EXPECT_THAT(spec.axes(), ElementsAre("x", "y"));
  EXPECT_EQ(spec.frequency_hz(), 62.5);
  ASSERT_EQ(plan.refused.size(), 1U);
  EXPECT_EQ(plan.refused[0].second, "want axes and frequencyHz for a .f32 file");
}

TEST_F(ImportPlanTest, ASideFileGivesRangesToTheFilesBesideIt) {
  Write("a/x.csv");
  Write("b/x.csv");
  Write(
      "a/structured_labels.labels",
      R"({"version":1,"type":"structured-labels","structuredLabels":{"x.csv":[)"
      R"({"startIndex":0,"endIndex":1,"label":"up"},{"startIndex":2,"endIndex":4,"label":"down"}]}})");
  EXPECT_THAT(Lines(Plan()),
              ElementsAre("x.csv UNSPECIFIED 0:1:up 2:4:down", "x.csv UNSPECIFIED 0:-1:b"));
}

TEST_F(ImportPlanTest, AnIndexSaysAllAboutWhatItListsAndNothingElseIsSent) {
  Write("training/a.1.csv");
  Write("b.csv");
  Write("c.csv");
  Write("unlisted.csv");
  Write("info.labels", R"({"version":1,"files":[
    {"path":"training/a.1.csv","name":"a","category":"training",
     "label":{"type":"label","label":"up"},"metadata":{"site":"lab"}},
    {"path":"b.csv","category":"testing","label":{"type":"multi-label",
     "labels":[{"startIndex":1,"endIndex":3,"label":"down"}]}},
    {"path":"c.csv","name":"c","category":"anomaly","label":{"type":"unlabeled"}},
    {"path":"gone.csv","category":"testing"},
    {"path":"a.png"},
    {"path":"b.csv","category":"other"},
    {"path":"b.csv","label":{"type":"boxes"}},
    {"name":"b"}]})");
  const ImportPlan plan = Plan();
  EXPECT_THAT(Lines(plan), ElementsAre("a TRAINING 0:-1:up site=lab", "b.csv TESTING 1:3:down",
                                       "c TESTING category=anomaly"));
  EXPECT_EQ(plan.recordings[0].spec.format(), iv::SAMPLE_FORMAT_CSV);
  ASSERT_EQ(plan.refused.size(), 5U);
  EXPECT_THAT(plan.refused[0].second, HasSubstr("no such file"));
  EXPECT_THAT(plan.refused[1].second, HasSubstr("want a file that ends"));
  EXPECT_THAT(plan.refused[2].second, HasSubstr("category: got \"other\""));
  EXPECT_THAT(plan.refused[3].second, HasSubstr("label: got"));
  EXPECT_THAT(plan.refused[4].first, HasSubstr("info.labels files[7]"));
}

TEST_F(ImportPlanTest, ABrokenSideFileOrFolderEndsIt) {
  Write("a.csv");
  Write("structured_labels.labels", "{}");
  EXPECT_THAT(PlanImport(folder_.path(), options_), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PlanImport(folder_.path() + "/none", options_),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ImportPlanTest, AnEmptyFolderIsAnEmptyPlan) { EXPECT_THAT(Plan().recordings, IsEmpty()); }

}  // namespace
}  // namespace fieldloop::cli
