// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_TRANSPORT_TRAINER_RUNNER_CONTRACT_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_TRANSPORT_TRAINER_RUNNER_CONTRACT_H_

#include <chrono>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <poll.h>
#include <stop_token>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "services/build/domain/trainer_runner.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/trace/span.h"
#include "tests/services/build/support/recording_listener.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {

// Where runners live that share what outlives a process.
class RunnerBed {
 public:
  virtual ~RunnerBed() = default;
  // A runner as a service has it, and again after a restart.
  virtual std::unique_ptr<TrainerRunner> MakeRunner() = 0;
  // Whether runs outlive their process.
  virtual bool outlives() const = 0;
};

// A runner is ready when the suite below, instantiated with it, passes.
struct RunnerUnderTest {
  std::string name;
  // Programs of trainers lie in `programs`.
  std::function<std::unique_ptr<RunnerBed>(const std::string& programs)> make;
  friend void PrintTo(const RunnerUnderTest& runner, std::ostream* os) { *os << runner.name; }
};

// What every TrainerRunner must do. Trainers are shell scripts, called with
// --info-file $2 --data-directory $4 --out-directory $6.
class TrainerRunnerContract : public ::testing::TestWithParam<RunnerUnderTest> {
 protected:
  TrainerRunnerContract() {
    std::filesystem::create_directories(programs_);
    std::filesystem::create_directories(data_);
    Write(data_ + "/train_input.json", "{\"seed\": 42}\n");
    Write(data_ + "/X_split_train.npy", std::string("\x93NUMPY\0", 7) + std::string(300000, 'x'));
    bed_ = GetParam().make(programs_);
    runner_ = bed_->MakeRunner();
  }

  static void Write(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::string Shared(const std::string& name) const { return folder_ / name; }

  // A task with empty folders of its own.
  TrainerTask Task(const std::string& script) {
    const std::string program = programs_ + "/trainer.sh";
    if (!std::filesystem::exists(program)) {
      Write(program, "#!/bin/sh\n" + script);
      chmod(program.c_str(), 0755);
    }
    const std::string own = folder_ / absl::StrCat("task-", ++tasks_);
    std::filesystem::create_directories(own + "/out");
    std::filesystem::create_directories(own + "/scratch");
    TrainerTask task{.project = "motor",
                     .number = 7,
                     .program = BuiltInTrainer(program, limits_),
                     .data_directory = data_,
                     .out_directory = own + "/out",
                     .scratch_directory = own + "/scratch",
                     .arguments = {"--epochs", "3"},
                     .outputs = {{.name = "model.tflite", .max_bytes = 1 << 20},
                                 {.name = "metrics.json", .max_bytes = 1 << 20}}};
    last_out_ = task.out_directory;
    return task;
  }
  absl::Status Run(const std::string& script) {
    return runner_->Run(Task(script), stop_.get_token(), listener_);
  }
  void StopAt(const std::string& activity) {
    listener_.on_activity = [this, activity] {
      if (listener_.activities.back() == activity) {
        stop_.request_stop();
      }
    };
  }
  void Discard() {
    ASSERT_THAT(runner_->Discard({.project = "motor", .number = 7}), ::fieldloop::testing::IsOk());
  }

  // Before everything that looks at it.
  testing::TemporaryFolder folder_;
  const std::string programs_ = folder_ / "bin";
  const std::string data_ = folder_ / "data";
  TrainerLimits limits_{.time = absl::Minutes(5)};
  std::unique_ptr<RunnerBed> bed_;
  std::unique_ptr<TrainerRunner> runner_;
  RecordingListener listener_;
  std::stop_source stop_;
  int tasks_ = 0;
  std::string last_out_;
};

TEST_P(TrainerRunnerContract, TheProgramIsToldTheTraceThatItIsStartedIn) {
  const WorkSpan work("trainer", SpanKind::kInternal, {}, {});
  ASSERT_THAT(Run("printf %s \"$TRACEPARENT\" > \"$6/model.tflite\"\n"),
              ::fieldloop::testing::IsOk());
  EXPECT_EQ(Content(last_out_ + "/model.tflite"), CurrentTraceparent());
}

TEST_P(TrainerRunnerContract, AVariableOfTheTrainersOwnStandsAboveTheTrace) {
  const WorkSpan work("trainer", SpanKind::kInternal, {}, {});
  TrainerTask task = Task("printf %s \"$TRACEPARENT\" > \"$6/model.tflite\"\n");
  task.program.environment = {{"TRACEPARENT", "its own"}};
  ASSERT_THAT(runner_->Run(task, stop_.get_token(), listener_), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Content(last_out_ + "/model.tflite"), "its own");
}

TEST_P(TrainerRunnerContract, OutputsComeBackByteForByteAndEventsAreHeard) {
  ASSERT_THAT(
      Run("test \"$1 $3 $5 $7 $8\" = '--info-file --data-directory --out-directory --epochs 3' "
          "|| exit 9\n"
          "test \"$2\" = \"$4/train_input.json\" || exit 8\n"
          "echo '{\"event\":\"activity\",\"text\":\"trains hard\"}'\n"
          "echo '{\"event\":\"epoch\",\"epoch\":1,\"epochs\":2,\"loss\":0.5,\"accuracy\":0.75}'\n"
          "echo '{\"event\":\"epoch\",\"epoch\":2,\"epochs\":2,\"loss\":null,"
          "\"validation_loss\":0.25}'\n"
          "echo '{\"event\":\"candidate\",\"network\":\"dense 8\",\"size_bytes\":2048,"
          "\"fits\":true}'\n"
          "echo plain words; echo to the log >&2\n"
          "cat \"$4\"/* > \"$6/model.tflite\"\n"
          "echo '{}' > \"$6/metrics.json\"; echo x > \"$6/checkpoint\"\n"),
      ::fieldloop::testing::IsOk())
      << listener_.log;
  EXPECT_EQ(Content(last_out_ + "/model.tflite"),
            Content(data_ + "/X_split_train.npy") + Content(data_ + "/train_input.json"));
  EXPECT_EQ(Content(last_out_ + "/metrics.json"), "{}\n");
  EXPECT_THAT(listener_.activities, ::testing::Contains("trains hard"));
  ASSERT_EQ(listener_.history.size(), 2U);
  EXPECT_EQ(listener_.history[0].loss, 0.5);
  EXPECT_EQ(listener_.history[0].accuracy, 0.75);
  EXPECT_EQ(listener_.history[1].loss, std::nullopt);
  EXPECT_EQ(listener_.history[1].validation_loss, 0.25);
  EXPECT_EQ(listener_.all_epochs, 2);
  ASSERT_EQ(listener_.candidates.size(), 1U);
  EXPECT_EQ(listener_.candidates[0].network, "dense 8");
  EXPECT_EQ(listener_.candidates[0].size_bytes, 2048);
  EXPECT_THAT(listener_.log, ::testing::HasSubstr("plain words\n"));
  EXPECT_THAT(listener_.log, ::testing::HasSubstr("to the log\n"));
  Discard();
  EXPECT_TRUE(runner_->Kept()->empty());
}

TEST_P(TrainerRunnerContract, TheSentenceOfAFailureComesBack) {
  EXPECT_EQ(Run("echo first >&2; echo 'ValueError: no labels' >&2; exit 3\n"),
            absl::AbortedError("the trainer ended with code 3: ValueError: no labels"));
  EXPECT_THAT(listener_.log, ::testing::HasSubstr("first\nValueError: no labels\n"));
}

TEST_P(TrainerRunnerContract, AnErrorEventIsTheReason) {
  EXPECT_EQ(Run("echo '{\"event\":\"error\",\"message\":\"class run has one window\"}'; exit 1\n"),
            absl::AbortedError("class run has one window"));
}

TEST_P(TrainerRunnerContract, TheTimeLimitEndsATrainerThatHangs) {
  limits_.time = absl::Seconds(1);
  EXPECT_EQ(Run("trap '' TERM; while :; do sleep 1000; done\n"),
            absl::DeadlineExceededError("the trainer took longer than 1s"));
}

TEST_P(TrainerRunnerContract, TheMemoryLimitHasItsSentence) {
  limits_.memory_bytes = std::int64_t{100} << 20;
  const absl::Status ended =
      Run("exec python3 -c 'import time\nx = b\"x\" * (200 << 20)\ntime.sleep(1000)'\n");
  EXPECT_THAT(ended, ::fieldloop::testing::StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(std::string(ended.message()),
              ::testing::MatchesRegex("the trainer ran out of memory: it used [0-9]+ MiB of the "
                                      "100 MiB that it may use"));
}

TEST_P(TrainerRunnerContract, AnOutputThatIsTooLargeIsRefused) {
  EXPECT_EQ(Run("head -c 1048577 /dev/zero > \"$6/model.tflite\"\n"),
            absl::AbortedError(
                "the trainer wrote a model.tflite of 1048577 bytes, want at most 1048576"));
}

TEST_P(TrainerRunnerContract, AProgramSeesItsDataAndAFolderOfItsOwnAndNoSecrets) {
  setenv("AWS_SECRET_ACCESS_KEY", "hush", 1);
  EXPECT_THAT(
      Run("ls \"$4\"; echo \"home $HOME tmp $TMPDIR\"; pwd; ls \"$6\" | wc -l; env; exit 1\n"),
      ::fieldloop::testing::StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(listener_.log, ::testing::StartsWith("X_split_train.npy\ntrain_input.json\nhome /"));
  EXPECT_THAT(listener_.log, ::testing::ContainsRegex("\n/[^\n]*scratch\n0\n"));
  EXPECT_THAT(listener_.log, ::testing::Not(::testing::HasSubstr("hush")));
  EXPECT_THAT(listener_.log, ::testing::Not(::testing::HasSubstr("flr_")));
}

TEST_P(TrainerRunnerContract, ACancelledRunIsEndedWithAllThatItStartedAndItsLogIsKept) {
  const std::string alive = Shared("alive");  // Open for writing in all that the run started.
  ASSERT_EQ(mkfifo(alive.c_str(), S_IRUSR | S_IWUSR), 0);
  pollfd read_end = {
      .fd = open(alive.c_str(), O_RDONLY | O_NONBLOCK), .events = POLLIN, .revents = 0};
  ASSERT_GE(read_end.fd, 0);
  StopAt("hangs");
  EXPECT_THAT(Run("trap '' TERM INT HUP\n"
                  "exec 9> " +
                  alive +
                  "\n"
                  "setsid sleep 1000 &\n"
                  "echo >&9\n"
                  "echo said before\n"
                  "echo '{\"event\":\"activity\",\"text\":\"hangs\"}'\n"
                  "while :; do sleep 1000; done\n"),
              ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
  ASSERT_NO_FATAL_FAILURE(Discard());
  char byte = 0;
  EXPECT_EQ(read(read_end.fd, &byte, 1), 1) << "it did not begin";
  // The end of the file is when the last of them has ended.
  EXPECT_EQ(poll(&read_end, 1, 60'000), 1) << "something that it started still runs";
  EXPECT_EQ(read(read_end.fd, &byte, 1), 0);
  close(read_end.fd);
  EXPECT_THAT(listener_.log, ::testing::HasSubstr("said before\n"));
  EXPECT_TRUE(runner_->Kept()->empty());
}

TEST_P(TrainerRunnerContract, AfterARestartTheRunIsTakenOverOrMadeAgainWithTheSameOutcome) {
  StopAt("hangs");
  const std::string script = "echo started >> " + Shared("starts") +
                             "\n"
                             "echo said before\n"
                             "echo '{\"event\":\"activity\",\"text\":\"hangs\"}'\n"
                             "while [ ! -e " +
                             Shared("go") +
                             " ]; do sleep 0.05; done\n"
                             "cat \"$4\"/* > \"$6/model.tflite\"\n";
  EXPECT_THAT(Run(script), ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
  runner_ = bed_->MakeRunner();
  stop_ = std::stop_source();
  listener_ = RecordingListener();
  Write(Shared("go"), "");
  ASSERT_THAT(Run(script), ::fieldloop::testing::IsOk()) << listener_.log;
  EXPECT_EQ(Content(last_out_ + "/model.tflite"),
            Content(data_ + "/X_split_train.npy") + Content(data_ + "/train_input.json"));
  EXPECT_EQ(Content(Shared("starts")), bed_->outlives() ? "started\n" : "started\nstarted\n");
  EXPECT_THAT(listener_.log, ::testing::HasSubstr("said before\n"));
}

TEST_P(TrainerRunnerContract, ARunWithOtherInputsIsNotTakenOver) {
  StopAt("hangs");
  const std::string script =
      "cat \"$4/train_input.json\" > \"$6/model.tflite\"\n"
      "if grep -q 42 \"$2\"; then echo '{\"event\":\"activity\",\"text\":\"hangs\"}'; sleep 1000; "
      "fi\n";
  EXPECT_THAT(Run(script), ::fieldloop::testing::StatusIs(absl::StatusCode::kCancelled));
  stop_ = std::stop_source();
  Write(data_ + "/train_input.json", "{\"seed\": 43}\n");
  ASSERT_THAT(Run(script), ::fieldloop::testing::IsOk()) << listener_.log;
  EXPECT_EQ(Content(last_out_ + "/model.tflite"), "{\"seed\": 43}\n");
}

TEST_P(TrainerRunnerContract, TwoReplicasThatRunTheSameBuildGetTheSame) {
  const std::string script = "echo started >> " + Shared("starts") +
                             "\n"
                             "echo said\n"
                             "echo '{\"event\":\"activity\",\"text\":\"hangs\"}'\n"
                             "while [ ! -e " +
                             Shared("go") +
                             " ]; do sleep 0.05; done\n"
                             "echo model > \"$6/model.tflite\"\n";
  RecordingListener other_listener;
  const std::unique_ptr<TrainerRunner> other = bed_->MakeRunner();
  const TrainerTask other_task = Task(script);
  std::promise<void> first_runs;
  bool told = false;
  listener_.on_activity = [&] {
    if (!told && listener_.activities.back() == "hangs") {
      told = true;
      first_runs.set_value();
    }
  };
  auto first = std::async(std::launch::async, [&] { return Run(script); });
  ASSERT_EQ(first_runs.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  other_listener.on_activity = [&] {
    if (other_listener.activities.back() == "hangs") {
      Write(Shared("go"), "");
    }
  };
  EXPECT_THAT(other->Run(other_task, std::stop_token(), other_listener),
              ::fieldloop::testing::IsOk());
  EXPECT_THAT(first.get(), ::fieldloop::testing::IsOk());
  EXPECT_EQ(Content(other_task.out_directory + "/model.tflite"), "model\n");
  EXPECT_EQ(Content(last_out_ + "/model.tflite"), "model\n");
  EXPECT_THAT(other_listener.log, ::testing::HasSubstr("said\n"));
  EXPECT_EQ(Content(Shared("starts")), bed_->outlives() ? "started\n" : "started\nstarted\n");
}

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_TRANSPORT_TRAINER_RUNNER_CONTRACT_H_
