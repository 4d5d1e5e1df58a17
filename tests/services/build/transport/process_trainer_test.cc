// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_trainer.h"

#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stop_token>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "absl/strings/escaping.h"
#include "services/build/transport/child_process.h"
#include "services/common/crypto/digest.h"
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

class RecordingListener final : public TrainerListener {
 public:
  void OnActivity(absl::string_view text) override {
    activities.emplace_back(text);
    on_activity();
  }
  void OnEpoch(std::int32_t epoch, std::int32_t epochs, double loss, double accuracy) override {
    epochs_seen.push_back({epoch, epochs});
    losses.push_back(loss);
    accuracies.push_back(accuracy);
  }
  void OnLog(absl::string_view text) override { log.append(text.data(), text.size()); }

  std::vector<std::string> activities;
  std::vector<std::pair<std::int32_t, std::int32_t>> epochs_seen;
  std::vector<double> losses;
  std::vector<double> accuracies;
  std::string log;
  std::function<void()> on_activity = [] {};
};

// While it lives, orphans become children of this process, so that it can wait for them.
class AdoptOrphans {
 public:
  AdoptOrphans() { EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); }
  ~AdoptOrphans() { prctl(PR_SET_CHILD_SUBREAPER, 0); }
  AdoptOrphans(const AdoptOrphans&) = delete;
  AdoptOrphans& operator=(const AdoptOrphans&) = delete;
};

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
    job_ = {.directory = folder_ / "data",
            .out_directory = folder_ / "out",
            .recipe = SmallRecipe(),
            .classes = SmallClasses(),
            .seed = 42,
            .parent_file = ""};
  }

  absl::StatusOr<TrainedModel> Train(const std::string& script) {
    WriteFile(program_, "#!/bin/sh\n" + script);
    chmod(program_.c_str(), 0700);
    return trainer_.Train(job_, stop_.get_token(), listener_);
  }

  TemporaryFolder folder_;
  const std::string program_ = folder_ / "trainer.sh";
  FakeClock clock_;
  ProcessTrainer trainer_{{.program = program_, .time_limit = absl::Minutes(5)}, clock_};
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
      "echo '{\"event\":\"epoch\",\"epoch\":2,\"epochs\":2,\"loss\":null}'\n"
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
  EXPECT_THAT(listener_.epochs_seen, ElementsAre(std::pair(1, 2), std::pair(2, 2)));
  EXPECT_EQ(listener_.losses[0], 0.5);
  EXPECT_EQ(listener_.accuracies[0], 0.75);
  EXPECT_TRUE(std::isnan(listener_.losses[1]));
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

TEST_F(ProcessTrainerTest, AStopKillsATrainerThatHangsWithAllItStarted) {
  const AdoptOrphans adopt;
  listener_.on_activity = [this] { stop_.request_stop(); };
  const auto trained = Train(
      "trap '' TERM INT HUP\n"
      "sleep 1000 &\n"
      "echo $! > \"$6/child\"\n"
      "echo '{\"event\":\"activity\",\"text\":\"hangs\"}'\n"
      "while :; do sleep 1000; done\n");
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kCancelled));
  const pid_t grandchild = std::atoi(Content(folder_ / "out/child").c_str());
  ASSERT_GT(grandchild, 0);
  int status = 0;
  ASSERT_EQ(waitpid(grandchild, &status, 0), grandchild);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
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
  setenv("FIELDLOOP_TEST_SECRET", "hush", 1);
  setenv("TEST_PASSED_ON", "yes", 1);
  EXPECT_THAT(Train("env >&2; exit 1\n"), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(listener_.log.find("hush"), std::string::npos);
  EXPECT_THAT(listener_.log, HasSubstr("TEST_PASSED_ON=yes"));
}

TEST_F(ProcessTrainerTest, TheIdentityIsTheDigestOfTheProgram) {
  WriteFile(program_, "#!/bin/sh\n");
  const absl::StatusOr<TrainerIdentity> identity = trainer_.Identify();
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->name, "trainer.sh");
  EXPECT_EQ(identity->digest, ToHex(Sha256Of("#!/bin/sh\n")));
}

TEST_F(ProcessTrainerTest, AProgramThatIsNotThereIsSaid) {
  EXPECT_THAT(trainer_.Identify(), StatusIs(absl::StatusCode::kAborted));
  const auto trained = trainer_.Train(job_, stop_.get_token(), listener_);
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(std::string(trained.status().message()), HasSubstr("No such file"));
}

TEST(ChildProcess, DiesWithTheProcessThatStartedIt) {
  const AdoptOrphans adopt;
  const TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t service = fork();
  if (service == 0) {
    const auto child =
        ChildProcess::Start({"/bin/sh", "-c", "trap '' TERM; echo $$; exec sleep 1000"});
    std::string pid;
    while (pid.find('\n') == std::string::npos &&
           (*child)->Pump(
               absl::Seconds(1),
               [&pid](absl::string_view text) { pid.append(text.data(), text.size()); },
               [](absl::string_view) {})) {
    }
    [[maybe_unused]] const ssize_t written = write(ready[1], pid.data(), pid.size());
    pause();
    _exit(0);
  }
  char text[32] = {};
  ASSERT_GT(read(ready[0], text, sizeof(text) - 1), 0);
  const pid_t trainer = std::atoi(text);
  ASSERT_GT(trainer, 0);
  kill(service, SIGKILL);
  ASSERT_EQ(waitpid(service, nullptr, 0), service);
  int status = 0;
  ASSERT_EQ(waitpid(trainer, &status, 0), trainer);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace fieldloop::build
