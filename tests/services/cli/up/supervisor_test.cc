// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/up/supervisor.h"

#include <csignal>
#include <filesystem>
#include <pthread.h>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "services/cli/commands/arguments.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::HasSubstr;

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) {
      sigaddset(&set, signal);
    }
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }
  void TearDown() override {
    supervisor_.StopAll(absl::Seconds(5));
    std::filesystem::remove_all(folder_);
  }

  // A program that is ready at once and says its process id in its ready file.
  ServiceProcess Script(const std::string& script) const {
    return {.name = "service",
            .command = {"/bin/sh", "-c", script},
            .ready_file = folder_ + "/ready",
            .log_file = folder_ + "/log"};
  }

  std::string folder_ = ::testing::TempDir() + "fieldloop_supervisor_" +
                        ::testing::UnitTest::GetInstance()->current_test_info()->name();
  Supervisor supervisor_;
};

TEST_F(SupervisorTest, StartReturnsTheReadyFile) {
  const auto ready = supervisor_.Start(Script("echo up > " + folder_ + "/ready; exec sleep 60"),
                                       absl::Seconds(30));
  ASSERT_THAT(ready, IsOk());
  EXPECT_EQ(*ready, "up\n");
}

TEST_F(SupervisorTest, AProgramThatEndsBeforeItIsReadyIsReportedWithItsLastLines) {
  const auto ready =
      supervisor_.Start(Script("echo the port is taken >&2; exit 3"), absl::Seconds(30));
  ASSERT_THAT(ready, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(ready.status().message()), HasSubstr("exit code 3"));
  EXPECT_THAT(std::string(ready.status().message()), HasSubstr("the port is taken"));
}

TEST_F(SupervisorTest, AProgramThatIsMissingIsReported) {
  ServiceProcess process = Script("");
  process.command = {"/nonexistent/fieldloop-build"};
  const auto ready = supervisor_.Start(process, absl::Seconds(30));
  ASSERT_THAT(ready, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(ready.status().message()), HasSubstr("is it built?"));
}

TEST_F(SupervisorTest, AProgramThatIsKilledIsStartedAgainUntilAStopSignalComes) {
  // The second start asks the supervisor to stop, so the test needs no clock.
  const std::string script = "echo x >> " + folder_ + "/starts; echo up > " + folder_ +
                             "/ready; if [ $(wc -l < " + folder_ +
                             "/starts) = 2 ]; then kill -TERM " + std::to_string(::getpid()) +
                             "; exec sleep 60; fi; kill -KILL $$";
  ASSERT_THAT(supervisor_.Start(Script(script), absl::Seconds(30)), IsOk());
  std::vector<std::string> said;
  supervisor_.Watch([&said](const std::string& line) { said.push_back(line); });
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], HasSubstr("killed by signal 9"));
  EXPECT_EQ(*ReadFile(folder_ + "/starts"), "x\nx\n");
}

TEST_F(SupervisorTest, AProgramThatDoesNotHeedAStopIsKilled) {
  const auto ready =
      supervisor_.Start(Script("trap '' TERM; echo $$ > " + folder_ + "/pid; mv " + folder_ +
                               "/pid " + folder_ + "/ready; while :; do sleep 60; done"),
                        absl::Seconds(30));
  ASSERT_THAT(ready, IsOk());
  const pid_t pid = std::stoi(*ready);
  ASSERT_EQ(::kill(pid, 0), 0);
  supervisor_.StopAll(absl::Milliseconds(50));
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace fieldloop::cli
