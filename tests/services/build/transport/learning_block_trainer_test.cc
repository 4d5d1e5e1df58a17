// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/learning_block_trainer.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "services/build/storage/folder_work_area.h"
#include "services/build/transport/process_runner.h"
#include "services/build/transport/tflite_model_checker.h"
#include "services/common/npy/npy_array.h"
#include "tests/services/build/support/small_model.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::FakeClock;
using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QuietListener final : public TrainerListener {
 public:
  void OnActivity(absl::string_view /*text*/) override {}
  void OnEpoch(const Epoch& /*epoch*/, std::int32_t /*epochs*/) override {}
  void OnCandidate(const Candidate& /*candidate*/) override {}
  void OnLog(absl::string_view text) override { log.append(text.data(), text.size()); }
  std::string log;
};

// Blocks are shell scripts; $data and $out are set in them.
class LearningBlockTrainerTest : public ::testing::Test {
 protected:
  LearningBlockTrainerTest() {
    work_ = *(*FolderWorkArea::Open(folder_ / "work"))->Create("one");
    recipe_ = SmallRecipe();
    const auto writer = *work_->OpenTrainingSet(4);
    TrainingSetBuilder builder(recipe_, *writer);
    std::vector<SourceSample> samples;
    for (int i = 0; i < 10; ++i) {
      samples.push_back(SmallSample("s" + std::to_string(i), i % 2 == 0 ? "run" : "walk", 8,
                                    /*testing=*/i >= 8));
      EXPECT_THAT(builder.Add(samples.back()), IsOk());
    }
    EXPECT_THAT(builder.Finish(VersionDigest(samples)), IsOk());
    std::ofstream(folder_ / "prepared.tflite", std::ios::binary) << SmallNetwork("");
  }

  absl::StatusOr<TrainedModel> Train(const std::string& script) {
    const std::string path = folder_ / "block.sh";
    std::ofstream(path) << "#!/bin/sh\ndata=$4\nout=$6\n" << script;
    chmod(path.c_str(), 0700);
    TrainerProgram program;
    program.id = "block";
    program.contract = TrainerContract::kLearningBlock;
    program.command = {path};
    program.words = {"block.sh"};
    program.standardised = standardised_;
    program.one_hot = one_hot_;
    return LearningBlockTrainer(program, runner_)
        .Train({.directory = work_->data_path(),
                .out_directory = work_->out_path(),
                .scratch_directory = work_->scratch_path(),
                .recipe = recipe_,
                .classes = SmallClasses(),
                .seed = 1,
                .parent_file = ""},
               std::stop_token(), listener_);
  }
  std::string Block(const std::string& name) const { return work_->data_path() + "/block/" + name; }

  TemporaryFolder folder_;
  std::unique_ptr<WorkDirectory> work_;
  ImpulseRecipe recipe_;
  bool standardised_ = false;
  bool one_hot_ = false;
  FakeClock clock_;
  ProcessRunner runner_{clock_};
  QuietListener listener_;
};

TEST_F(LearningBlockTrainerTest, ABlocksModelIsPackagedAndPassesTheChecksOfTheService) {
  const auto trained = Train("cp " + (folder_ / "prepared.tflite") + " $out/model.tflite\n" +
                             "echo '{\"accuracy\": 0.75}' > $out/metrics.json\n");
  ASSERT_THAT(trained, IsOk());
  EXPECT_THAT(TfliteModelChecker().Check(trained->file, recipe_, SmallClasses()), IsOk());
  EXPECT_THAT(trained->metrics, ElementsAre(Metric{.name = "accuracy", .value = 0.75}));
}

TEST_F(LearningBlockTrainerTest, TheFilesAreThoseOfTheFieldsContract) {
  recipe_.learning.parameters = {{"activation", "relu 6"}};
  EXPECT_THAT(Train("shift 6; echo \"$@\" >&2; exit 1\n"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(listener_.log, HasSubstr("--epochs 60 --learning-rate 0.002 --activation relu 6\n"));
  const auto x_train = ReadNpy<float>(Block("X_split_train.npy"));
  const auto x_test = ReadNpy<float>(Block("X_split_test.npy"));
  const auto y_train = ReadNpy<std::int32_t>(Block("Y_split_train.npy"));
  const auto y_test = ReadNpy<std::int32_t>(Block("Y_split_test.npy"));
  ASSERT_THAT(x_train, IsOk());
  ASSERT_THAT(x_test, IsOk());
  ASSERT_THAT(y_train, IsOk());
  ASSERT_THAT(y_test, IsOk());
  // Eight samples of four windows; a fifth of the samples is held out, the testing side is not
  // there.
  EXPECT_EQ(x_train->rows() + x_test->rows(), 32U);
  EXPECT_GE(x_test->rows(), 4U);
  EXPECT_EQ(x_train->columns(), 4U);
  EXPECT_THAT(y_train->shape, ElementsAre(x_train->rows(), 4U));
  std::set<std::int32_t> trained_samples;
  for (std::size_t row = 0; row < y_train->rows(); ++row) {
    trained_samples.insert(y_train->row(row)[1]);
  }
  for (std::size_t row = 0; row < y_test->rows(); ++row) {
    EXPECT_EQ(trained_samples.count(y_test->row(row)[1]), 0U);
  }
  const auto details = nlohmann::json::parse(std::ifstream(Block("sample_id_details.json")));
  EXPECT_EQ(details["train"].size(), x_train->rows());
  EXPECT_EQ(details["validation"][0], y_test->row(0)[1]);
  const auto info = nlohmann::json::parse(std::ifstream(Block("train_input.json")));
  EXPECT_EQ(info["classes"], nlohmann::json({"run", "walk"}));
  EXPECT_EQ(info["mode"], "classification");
  EXPECT_EQ(info["inputShape"], nlohmann::json::array({4}));
  EXPECT_EQ(info["yType"], "structured");
}

TEST_F(LearningBlockTrainerTest, FeaturesAreRawOrStandardisedAndLabelsMayBeOneHot) {
  EXPECT_FALSE(Train("exit 1\n").ok());
  EXPECT_EQ(ReadNpy<float>(Block("X_split_train.npy"))->row(1)[0], 2);
  standardised_ = true;
  one_hot_ = true;
  const auto trained = Train("cp " + (folder_ / "prepared.tflite") + " $out/model.tflite\n");
  ASSERT_THAT(trained, IsOk());
  const auto x = ReadNpy<float>(Block("X_split_train.npy"));
  double sum = 0;
  for (std::size_t row = 0; row < x->rows(); ++row) {
    sum += static_cast<double>(x->row(row)[0]);
  }
  EXPECT_NEAR(sum, 0, 1e-4);
  const auto y = ReadNpy<std::int32_t>(Block("Y_split_train.npy"));
  EXPECT_THAT(y->shape, ElementsAre(x->rows(), 2U));
  EXPECT_EQ(y->row(0)[0] + y->row(0)[1], 1);
  const auto checked = TfliteModelChecker().Check(trained->file, recipe_, SmallClasses());
  ASSERT_THAT(checked, IsOk());
  agent::v1::Impulse impulse;
  ASSERT_TRUE(impulse.ParseFromString(checked->metadata));
  EXPECT_EQ(impulse.standardisation().mean_size(), 4);
}

TEST_F(LearningBlockTrainerTest, TheFileThatSaysInt8IsPreferred) {
  const auto trained = Train("echo float > $out/model.tflite\ncp " + (folder_ / "prepared.tflite") +
                             " $out/model_quantized_int8_io.tflite\n");
  EXPECT_THAT(trained, IsOk());
}

TEST_F(LearningBlockTrainerTest, WhatIsMissingOrWrongIsSaid) {
  EXPECT_THAT(std::string(Train("exit 0\n").status().message()),
              HasSubstr("wrote neither model_quantized_int8_io.tflite nor an int8 model.tflite"));
  EXPECT_THAT(std::string(Train("echo nonsense > $out/model.tflite\n").status().message()),
              HasSubstr("the trainer's model is refused: "));
  recipe_.learning.budget = Budget{.flash_kb = 1};
  EXPECT_THAT(std::string(Train("exit 0\n").status().message()),
              HasSubstr("want a recipe without learning.anomaly and learning.budget"));
}

}  // namespace
}  // namespace fieldloop::build
