// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_trainer.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "absl/strings/escaping.h"
#include "services/build/transport/process_runner.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/crypto/digest.h"
#include "tests/services/build/support/recording_listener.h"
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
using ::testing::MatchesRegex;
using ::testing::Not;

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Trainers are shell scripts, called with --info-file $2 --data-directory $4 --out-directory $6.
class ProcessTrainerTest : public ::testing::Test {
 protected:
  ProcessTrainerTest() {
    std::filesystem::create_directories(folder_ / "data");
    std::filesystem::create_directories(folder_ / "out");
    std::filesystem::create_directories(folder_ / "scratch");
    job_ = {.directory = folder_ / "data",
            .out_directory = folder_ / "out",
            .scratch_directory = folder_ / "scratch",
            .recipe = SmallRecipe(),
            .classes = SmallClasses(),
            .seed = 42,
            .parent_file = ""};
  }

  absl::StatusOr<TrainedModel> Train(const std::string& script) {
    WriteFile(program_, "#!/bin/sh\n" + script);
    chmod(program_.c_str(), 0700);
    return ProcessTrainer(BuiltInTrainer(program_, limits_), runner_)
        .Train(job_, stop_.get_token(), listener_);
  }

  TemporaryFolder folder_;
  const std::string program_ = folder_ / "trainer.sh";
  FakeClock clock_;
  ProcessRunner runner_{clock_};
  TrainerLimits limits_{.time = absl::Minutes(5)};
  RecordingListener listener_;
  std::stop_source stop_;
  TrainingJob job_;
};

TEST_F(ProcessTrainerTest, AModelAndFlatMetricsComeBackAndEventsAreHeard) {
  WriteFile(folder_ / "prepared.tflite", SmallModel());
  const absl::StatusOr<TrainedModel> trained = Train(
      "test \"$1 $3 $5\" = '--info-file --data-directory --out-directory' || exit 9\n"
      "echo '{\"event\":\"activity\",\"text\":\"trains\"}'\n"
      "echo '{\"event\":\"epoch\",\"epoch\":1,\"epochs\":2,\"loss\":0.5,\"accuracy\":0.75}'\n"
      "echo '{\"event\":\"epoch\",\"epoch\":2,\"epochs\":2,\"loss\":null,"
      "\"validation_loss\":0.25,\"validation_accuracy\":0.5}'\n"
      "echo '{\"event\":\"candidate\",\"network\":\"dense 8\",\"size_bytes\":2048,"
      "\"arena_bytes\":512,\"cortex_m4_instructions\":9000,"
      "\"validation_balanced_accuracy\":0.75,\"fits\":true,\"chosen\":true}'\n"
      "echo plain words\n"
      "echo to the log >&2\n"
      "cp " +
      (folder_ / "prepared.tflite") +
      " \"$6/model.tflite\"\n"
      "echo '{\"a\":1,\"int8\":{\"balanced_accuracy\":0.5,\"recall\":{\"WALK UP\":0.25}},"
      "\"text\":\"no\",\"list\":[1],\"flag\":true}' > \"$6/metrics.json\"\n"
      "printf '{\"event\":\"activity\",\"text\":\"no line break\"}'\n");
  ASSERT_THAT(trained, IsOk());
  EXPECT_EQ(trained->file, SmallModel());
  EXPECT_THAT(trained->metrics, ElementsAre(Metric{.name = "a", .value = 1},
                                            Metric{.name = "int8/balanced_accuracy", .value = 0.5},
                                            Metric{.name = "int8/recall/WALK UP", .value = 0.25}));
  EXPECT_THAT(listener_.activities, ElementsAre("trains", "no line break"));
  EXPECT_THAT(listener_.history, ElementsAre(Epoch{.epoch = 1,
                                                   .loss = 0.5,
                                                   .accuracy = 0.75,
                                                   .validation_loss = std::nullopt,
                                                   .validation_accuracy = std::nullopt},
                                             Epoch{.epoch = 2,
                                                   .loss = std::nullopt,
                                                   .accuracy = std::nullopt,
                                                   .validation_loss = 0.25,
                                                   .validation_accuracy = 0.5}));
  EXPECT_EQ(listener_.all_epochs, 2);
  EXPECT_THAT(listener_.candidates, ElementsAre(Candidate{.network = "dense 8",
                                                          .size_bytes = 2048,
                                                          .arena_bytes = 512,
                                                          .cortex_m4_instructions = 9000,
                                                          .validation_balanced_accuracy = 0.75,
                                                          .fits = true,
                                                          .chosen = true}));
  EXPECT_THAT(listener_.log, HasSubstr("plain words\n"));
  EXPECT_THAT(listener_.log, HasSubstr("to the log\n"));
}

TEST_F(ProcessTrainerTest, TheInputSaysTheWholeRecipe) {
  job_.recipe.learning.training_stride = 0;
  job_.parent_file = "parent.tflite";
  EXPECT_THAT(Train("exit 1\n"), StatusIs(absl::StatusCode::kAborted));
  const auto input = nlohmann::json::parse(Content(folder_ / "data/train_input.json"));
  EXPECT_EQ(input["format"], 1);
  EXPECT_EQ(input["seed"], 42);
  EXPECT_EQ(input["classes"], nlohmann::json({"run", "walk"}));
  EXPECT_EQ(input["parent_model"], "parent.tflite");
  EXPECT_EQ(input["learning"]["dense_units"], nlohmann::json({32, 16}));
  EXPECT_EQ(input["learning"]["epochs"], 60);
  EXPECT_EQ(input["learning"]["learning_rate"], 0.002);
  EXPECT_EQ(input["learning"]["weight_decay"], 0.0001);
  EXPECT_EQ(input["learning"]["training_stride"], 2);
  EXPECT_EQ(input["learning"]["augmentation"]["half_turns"], false);
  std::string serialised;
  ASSERT_TRUE(absl::Base64Unescape(input["impulse"].get<std::string>(), &serialised));
  agent::v1::Impulse impulse;
  ASSERT_TRUE(impulse.ParseFromString(serialised));
  EXPECT_EQ(impulse.SerializeAsString(),
            ToAgentImpulse(SmallRecipe(), SmallClasses()).SerializeAsString());
}

TEST_F(ProcessTrainerTest, TheInputLeavesOutWhatTheRecipeDoesNotUse) {
  EXPECT_THAT(Train("exit 1\n"), StatusIs(absl::StatusCode::kAborted));
  const auto input = nlohmann::json::parse(Content(folder_ / "data/train_input.json"));
  EXPECT_EQ(input["learning"]["network"], "dense");
  for (const char* field :
       {"conv_blocks", "early_stopping_patience", "validation_share", "anomaly", "budget"}) {
    EXPECT_FALSE(input["learning"].contains(field)) << field;
  }
}

TEST_F(ProcessTrainerTest, TheInputSaysNetworkValidationAnomalyBudgetAndParameters) {
  Learning& learning = job_.recipe.learning;
  learning.network = Network::kConv2d;
  learning.conv_blocks = {{.filters = 16, .stride = 2}};
  learning.augmentation.frequency_mask = 3;
  learning.early_stopping_patience = 5;
  learning.anomaly = {.method = AnomalyMethod::kGaussianMixture};
  learning.budget = {.flash_kb = 64};
  learning.parameters = {{"activation", "relu"}};
  job_.recipe = *CompleteRecipe(job_.recipe);
  EXPECT_THAT(Train("exit 1\n"), StatusIs(absl::StatusCode::kAborted));
  const auto said = nlohmann::json::parse(Content(folder_ / "data/train_input.json"))["learning"];
  using Json = nlohmann::json;
  EXPECT_EQ(said["network"], "conv_2d");
  EXPECT_EQ(said["conv_blocks"],
            Json::parse(R"([{"filters": 16, "kernel": 3, "stride": 2, "pool": 1}])"));
  EXPECT_EQ(said["augmentation"]["frequency_mask"], 3);
  EXPECT_EQ(said["early_stopping_patience"], 5);
  EXPECT_EQ(said["validation_share"], 0.2);
  EXPECT_EQ(said["anomaly"], Json::parse(R"({"method": "gaussian_mixture", "components": 16,
                                             "features": 8, "quantile": 0.99})"));
  EXPECT_EQ(said["budget"], Json::parse(R"({"flash_kb": 64.0, "ram_kb": 0.0,
                                            "mega_instructions": 0.0, "trials": 10})"));
  EXPECT_EQ(said["parameters"], Json::parse(R"({"activation": "relu"})"));
}

TEST_F(ProcessTrainerTest, AnErrorEventIsTheReason) {
  const auto trained =
      Train("echo '{\"event\":\"error\",\"message\":\"class run has one window\"}'\nexit 3\n");
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(trained.status().message(), "class run has one window");
}

TEST_F(ProcessTrainerTest, AnErrorEventIsAFailureWhateverTheExitCode) {
  EXPECT_EQ(Train("echo '{\"event\":\"error\",\"message\":\"no\"}'\n").status().message(), "no");
}

TEST_F(ProcessTrainerTest, AnExitCodeOrASignalIsTheReasonWithoutOne) {
  EXPECT_EQ(Train("exit 3\n").status().message(), "the trainer ended with code 3");
  EXPECT_EQ(Train("kill -SEGV $$\n").status().message(),
            "the trainer was ended by signal 11 (SIGSEGV)");
}

TEST_F(ProcessTrainerTest, WhatIsNotWrittenIsSaid) {
  EXPECT_THAT(std::string(Train("exit 0\n").status().message()), HasSubstr("no model.tflite"));
  EXPECT_THAT(std::string(Train("echo x > \"$6/model.tflite\"\n").status().message()),
              HasSubstr("no metrics.json"));
  EXPECT_THAT(
      std::string(
          Train("echo x > \"$6/model.tflite\"; echo 7 > \"$6/metrics.json\"\n").status().message()),
      HasSubstr("not a JSON object"));
}

TEST_F(ProcessTrainerTest, AFailureEndsWithTheLastWords) {
  EXPECT_EQ(Train("echo first >&2; echo 'ValueError: no labels' >&2; echo >&2; exit 1\n")
                .status()
                .message(),
            "the trainer ended with code 1: ValueError: no labels");
}

TEST_F(ProcessTrainerTest, AStopEndsATrainerThatHangs) {
  listener_.on_activity = [this] { stop_.request_stop(); };
  const auto trained = Train(
      "trap '' TERM INT HUP\n"
      "sleep 1000 &\n"
      "echo '{\"event\":\"activity\",\"text\":\"hangs\"}'\n"
      "while :; do sleep 1000; done\n");
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ProcessTrainerTest, EachLimitHasItsSentence) {
  limits_.memory_bytes = std::int64_t{100} << 20;
  EXPECT_THAT(
      std::string(Train("exec python3 -c 'import time\nx = b\"x\" * (200 << 20)\n"
                        "time.sleep(1000)'\n")
                      .status()
                      .message()),
      MatchesRegex("the trainer ran out of memory: it used [0-9]+ MiB of the 100 MiB that it "
                   "may use"));
  limits_.processes = 8;
  EXPECT_THAT(
      std::string(Train("i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; wait\n")
                      .status()
                      .message()),
      MatchesRegex("the trainer ran [0-9]+ processes, more than the 8 that it may run"));
  limits_.file_bytes = 1 << 20;
  EXPECT_EQ(Train("exec dd if=/dev/zero of=large bs=64k count=100\n").status().message(),
            "the trainer wrote a file of more than 1 MiB");
  limits_.cpu_time = absl::Seconds(1);
  EXPECT_EQ(Train("while :; do :; done\n").status().message(),
            "a process of the trainer used more than 1s of processor time");
  EXPECT_EQ(Train("kill -KILL $$\n").status().message(),
            "the trainer was ended by signal 9 (SIGKILL), as when the machine runs out of memory");
}

TEST_F(ProcessTrainerTest, TheTimeLimitEndsATrainerThatHangs) {
  listener_.on_activity = [this] { clock_.Advance(absl::Minutes(6)); };
  const auto trained =
      Train("echo '{\"event\":\"activity\",\"text\":\"hangs\"}'\nwhile :; do sleep 1000; done\n");
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(trained.status().message(), "the trainer took longer than 5m");
}

TEST_F(ProcessTrainerTest, WhatATrainerLeavesRunningDoesNotKeepTheBuild) {
  const auto trained = Train("sleep 1000 &\nexit 3\n");
  EXPECT_EQ(trained.status().message(), "the trainer ended with code 3");
}

TEST_F(ProcessTrainerTest, MuchOutputIsReadToItsEnd) {
  EXPECT_THAT(Train("i=0; while [ $i -lt 5000 ]; do echo "
                    "0123456789012345678901234567890123456789; i=$((i+1)); done >&2; "
                    "echo last >&2; exit 1\n"),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(listener_.log.size(), 5000U * 41 + 5);
  EXPECT_TRUE(listener_.log.ends_with("\nlast\n"));
}

TEST_F(ProcessTrainerTest, TheServicesSecretsAreNotInItsEnvironment) {
  setenv("AWS_SECRET_ACCESS_KEY", "hush", 1);
  setenv("LC_ALL", "C.UTF-8", 1);
  EXPECT_THAT(Train("env >&2; pwd >&2; exit 1\n"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(listener_.log, Not(HasSubstr("hush")));
  EXPECT_THAT(listener_.log, HasSubstr("LC_ALL=C.UTF-8"));
  EXPECT_THAT(listener_.log, HasSubstr("HOME=" + job_.scratch_directory));
  EXPECT_THAT(listener_.log, HasSubstr("\n" + job_.scratch_directory + "\n"));
}

TEST_F(ProcessTrainerTest, TheIdentityOfOneProgramIsItsDigest) {
  WriteFile(program_, "#!/bin/sh\n");
  const absl::StatusOr<TrainerIdentity> identity =
      ProcessTrainer(BuiltInTrainer(program_, limits_), runner_).Identify();
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->id, "fieldloop-trainer");
  EXPECT_EQ(identity->digest, ToHex(Sha256Of("#!/bin/sh\n")));
}

TEST_F(ProcessTrainerTest, AProgramThatIsNotThereIsSaid) {
  ProcessTrainer trainer(BuiltInTrainer(program_, limits_), runner_);
  EXPECT_THAT(trainer.Identify(), StatusIs(absl::StatusCode::kAborted));
  const auto trained = trainer.Train(job_, stop_.get_token(), listener_);
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(std::string(trained.status().message()), HasSubstr("No such file"));
}

}  // namespace
}  // namespace fieldloop::build
