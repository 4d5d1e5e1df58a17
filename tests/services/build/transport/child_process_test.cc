// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/child_process.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "absl/strings/str_split.h"
#include "services/build/transport/process_tree.h"
#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// True while the process runs or is a zombie.
bool Exists(pid_t pid) { return kill(pid, 0) == 0; }

class ChildProcessTest : public ::testing::Test {
 protected:
  Program Shell(const std::string& script) {
    return {.arguments = {"/bin/sh", "-c", script},
            .environment = {"PATH=/usr/bin:/bin"},
            .working_directory = folder_.path(),
            .limits = {},
            .with_network = false};
  }

  // Runs to its end; `out_` has what it printed.
  ProcessEnd Run(const Program& program) {
    const auto child = ChildProcess::Start(program);
    EXPECT_THAT(child, IsOk());
    if (!child.ok()) {
      return {};
    }
    while (Pump(**child)) {
    }
    return (*child)->End();
  }

  bool Pump(ChildProcess& child) {
    return child.Pump(
        absl::Seconds(1), [this](absl::string_view text) { out_.append(text.data(), text.size()); },
        [this](absl::string_view text) { err_.append(text.data(), text.size()); });
  }

  // Until standard output holds `text`.
  void PumpUntil(ChildProcess& child, const std::string& text) {
    while (out_.find(text) == std::string::npos && Pump(child)) {
    }
  }

  TemporaryFolder folder_;
  std::string out_;
  std::string err_;
};

TEST_F(ChildProcessTest, OutputIsGivenToItsEndAndTheCodeIsSaid) {
  const ProcessEnd end = Run(Shell("echo out; echo err >&2; exit 3"));
  EXPECT_FALSE(end.by_signal);
  EXPECT_EQ(end.number, 3);
  EXPECT_EQ(out_, "out\n");
  EXPECT_EQ(err_, "err\n");
}

TEST_F(ChildProcessTest, ASignalIsSaid) {
  const ProcessEnd end = Run(Shell("kill -SEGV $$"));
  EXPECT_TRUE(end.by_signal);
  EXPECT_EQ(end.number, SIGSEGV);
}

TEST_F(ChildProcessTest, AProgramOrFolderThatIsNotThereIsSaid) {
  Program program = Shell("exit 0");
  program.arguments[0] = "/no/such/program";
  const absl::Status status = ChildProcess::Start(program).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/no/such/program: No such file"));
  program = Shell("exit 0");
  program.working_directory = folder_ / "no";
  EXPECT_THAT(ChildProcess::Start(program), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ChildProcessTest, ItsFolderAndEnvironmentAreThoseGiven) {
  setenv("FIELDLOOP_TEST_SECRET", "hush", 1);
  Run(Shell("pwd; env | sort | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL="));
  EXPECT_EQ(out_, folder_.path() + "\nPATH=/usr/bin:/bin\n");
}

TEST_F(ChildProcessTest, NoFileOfTheServiceIsOpenInIt) {
  const std::ofstream secret(folder_ / "secret");
  Run(Shell("ls -l /proc/self/fd"));
  EXPECT_THAT(out_, HasSubstr("pipe:"));
  EXPECT_THAT(out_, ::testing::Not(HasSubstr("secret")));
}

TEST_F(ChildProcessTest, ItHasNoNetworkButALoopback) {
  const auto child = ChildProcess::Start(Shell("tail -n +3 /proc/net/dev | cut -d: -f1"));
  ASSERT_THAT(child, IsOk());
  if (!(*child)->isolation().ok()) {
    GTEST_SKIP() << "the system does not allow it: " << (*child)->isolation();
  }
  while (Pump(**child)) {
  }
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(out_, '\n', absl::SkipWhitespace())),
              ElementsAre(::testing::EndsWith("lo")));
}

TEST_F(ChildProcessTest, WhatItLeavesRunningIsKilledAlsoInASessionOfItsOwn) {
  const ProcessEnd end = Run(
      Shell("mkfifo ready; sleep 1000 & echo $!\n"
            "setsid sh -c 'trap \"\" TERM INT HUP; sleep 1000 & echo $!; echo $$; echo > ready; "
            "wait' &\n"
            "read line < ready; exit 5"));
  EXPECT_EQ(end.number, 5);
  const std::vector<std::string> pids = absl::StrSplit(out_, '\n', absl::SkipEmpty());
  ASSERT_EQ(pids.size(), 3U);
  for (const std::string& pid : pids) {
    EXPECT_FALSE(Exists(std::atoi(pid.c_str()))) << pid;
  }
}

TEST_F(ChildProcessTest, AKillReachesThoseThatForkedAwayAndIgnoreSignals) {
  const auto child = ChildProcess::Start(
      Shell("trap '' TERM INT HUP QUIT; echo $$\n"
            // Its parent ends at once, so that it belongs to nobody.
            "(setsid sh -c 'trap \"\" TERM INT HUP; echo $$; echo ready; exec sleep 1000' &)\n"
            "while :; do sleep 1000; done"));
  ASSERT_THAT(child, IsOk());
  PumpUntil(**child, "ready\n");
  EXPECT_GE(UseBelow((*child)->keeper()).processes, 2);
  (*child)->Kill();
  while (Pump(**child)) {
  }
  EXPECT_TRUE((*child)->End().by_signal);
  EXPECT_EQ((*child)->End().number, SIGKILL);
  int pids = 0;
  for (const absl::string_view line : absl::StrSplit(out_, '\n', absl::SkipEmpty())) {
    if (line != "ready") {
      ++pids;
      EXPECT_FALSE(Exists(std::atoi(std::string(line).c_str()))) << line;
    }
  }
  EXPECT_EQ(pids, 2);
}

TEST_F(ChildProcessTest, DiesWithTheProcessThatStartedIt) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t service = fork();
  if (service == 0) {
    const auto child =
        ChildProcess::Start(Shell("trap '' TERM; setsid sleep 1000 & echo $!; exec sleep 1000"));
    PumpUntil(**child, "\n");
    const std::string pids = std::to_string((*child)->keeper()) + " " + out_;
    [[maybe_unused]] const ssize_t written = write(ready[1], pids.data(), pids.size());
    pause();
    _exit(0);
  }
  char text[64] = {};
  ASSERT_GT(read(ready[0], text, sizeof(text) - 1), 0);
  const std::vector<std::string> pids = absl::StrSplit(text, ' ');
  ASSERT_EQ(pids.size(), 2U);
  kill(service, SIGKILL);
  ASSERT_EQ(waitpid(service, nullptr, 0), service);
  // Keeper and program are adopted by this process, which can wait for the former.
  const pid_t keeper = std::atoi(pids[0].c_str());
  ASSERT_EQ(waitpid(keeper, nullptr, 0), keeper);
  EXPECT_FALSE(Exists(std::atoi(pids[1].c_str())));
  close(ready[0]);
  close(ready[1]);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(ChildProcessTest, AFileMayNotGrowBeyondItsLimit) {
  Program program = Shell("exec dd if=/dev/zero of=large bs=64k count=100");
  program.limits.file_bytes = 1 << 20;
  const ProcessEnd end = Run(program);
  EXPECT_TRUE(end.by_signal);
  EXPECT_EQ(end.number, SIGXFSZ);
}

TEST_F(ChildProcessTest, ProcessorTimeEnds) {
  Program program = Shell("while :; do :; done");
  program.limits.cpu_seconds = 1;
  const ProcessEnd end = Run(program);
  EXPECT_TRUE(end.by_signal);
  EXPECT_EQ(end.number, SIGXCPU);
}

TEST_F(ChildProcessTest, MemoryBeyondTheHardLimitIsRefused) {
  Program program = Shell("");
  program.arguments = {"/usr/bin/python3", "-c", "bytearray(512 << 20)"};
  program.limits.data_bytes = std::int64_t{256} << 20;
  EXPECT_EQ(Run(program).number, 1);
  EXPECT_THAT(err_, HasSubstr("MemoryError"));
}

}  // namespace
}  // namespace fieldloop::build
