// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/up/supervisor.h"

#include <csignal>
#include <fstream>
#include <pthread.h>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "services/cli/commands/arguments.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Minutes(2);

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) {
      sigaddset(&set, signal);
    }
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }
  void TearDown() override { supervisor_.StopAll(absl::Seconds(5)); }

  ServiceProcess Script(const std::string& script) const {
    return {.name = "service",
            .command = {"/bin/sh", "-c", script},
            .ready_file = folder_ / "ready",
            .log_file = folder_ / "log"};
  }

  // Commands that write a ready file as services do: whoever sees it sees all of it.
  std::string SayReady(const std::string& text) const {
    const std::string file = folder_ / "ready";
    return "echo " + text + " > " + file + ".tmp; mv " + file + ".tmp " + file + "; ";
  }

  const TemporaryFolder folder_;
  Supervisor supervisor_;
};

TEST_F(SupervisorTest, StartReturnsTheReadyFile) {
  const auto ready = supervisor_.Start(Script(SayReady("up") + "exec sleep 600"), kPatience);
  ASSERT_THAT(ready, IsOk());
  EXPECT_EQ(*ready, "up\n");
}

TEST_F(SupervisorTest, AProgramThatEndsBeforeItIsReadyIsReportedWithItsLastLines) {
  const auto ready = supervisor_.Start(Script("echo the port is taken >&2; exit 3"), kPatience);
  ASSERT_THAT(ready, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(ready.status().message()), HasSubstr("exit code 3"));
  EXPECT_THAT(std::string(ready.status().message()), HasSubstr("the port is taken"));
}

TEST_F(SupervisorTest, AProgramThatIsMissingIsReported) {
  ServiceProcess process = Script("");
  process.command = {"/nonexistent/fieldloop-build"};
  const auto ready = supervisor_.Start(process, kPatience);
  ASSERT_THAT(ready, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(ready.status().message()), HasSubstr("is it built?"));
}

TEST_F(SupervisorTest, AProgramThatIsKilledIsStartedAgainUntilAStopSignalComes) {
  // The first start ends when it has been seen to be ready; the second asks the supervisor to stop.
  const std::string starts = folder_ / "starts";
  const std::string script = "echo x >> " + starts + "; " + SayReady("up") + "if [ $(wc -l < " +
                             starts + ") = 2 ]; then kill -TERM " + std::to_string(::getpid()) +
                             "; exec sleep 600; fi; read line < " + (folder_ / "go") +
                             "; kill -KILL $$";
  ASSERT_EQ(::mkfifo((folder_ / "go").c_str(), 0600), 0);
  ASSERT_THAT(supervisor_.Start(Script(script), kPatience), IsOk());
  std::ofstream(folder_ / "go") << "\n";
  std::vector<std::string> said;
  supervisor_.Watch([&said](const std::string& line) { said.push_back(line); });
  ASSERT_EQ(said.size(), 1U);
  EXPECT_THAT(said[0], HasSubstr("killed by signal 9"));
  EXPECT_EQ(*ReadFile(starts), "x\nx\n");
}

TEST_F(SupervisorTest, AProgramThatDoesNotHeedAStopIsKilled) {
  const std::string never = folder_ / "never";
  ASSERT_EQ(::mkfifo(never.c_str(), 0600), 0);
  const auto ready = supervisor_.Start(
      Script("trap '' TERM; " + SayReady("$$") + "read line < " + never), kPatience);
  ASSERT_THAT(ready, IsOk());
  const pid_t pid = std::stoi(*ready);
  ASSERT_EQ(::kill(pid, 0), 0);
  supervisor_.StopAll(absl::Milliseconds(50));
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace fieldloop::cli
