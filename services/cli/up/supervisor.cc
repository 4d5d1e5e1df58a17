// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/up/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::cli {
namespace {

constexpr int kTailBytes = 2000;
constexpr absl::Duration kSteady = absl::Minutes(1);

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

// Waits for a watched signal; 0 when none came in time.
int WaitSignal(absl::Duration timeout) {
  const sigset_t set = WatchedSignals();
  const timespec time = absl::ToTimespec(std::max(timeout, absl::ZeroDuration()));
  const int signal = ::sigtimedwait(&set, nullptr, &time);
  return signal < 0 ? 0 : signal;
}

// Starts a program with its output in a log file. Between fork and exec only calls that are safe
// there.
absl::StatusOr<pid_t> Spawn(const ServiceProcess& process) {
  std::vector<char*> arguments;
  for (const std::string& argument : process.command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const int log = ::open(process.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot write ", process.log_file, ": ", std::strerror(errno)));
  }
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
      ::_exit(127);
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // A group of its own: Ctrl-C reaches it through the supervisor, once and in order.
    ::setpgid(0, 0);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(log);
  if (pid < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start ", process.name, ": ", std::strerror(errno)));
  }
  return pid;
}

std::string Tail(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<std::streamoff>(file.tellg());
  file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string EndText(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("killed by signal ", WTERMSIG(status));
  }
  if (WEXITSTATUS(status) == 127) {
    return "its program cannot be run; is it built?";
  }
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

}  // namespace

absl::StatusOr<std::string> Supervisor::Start(const ServiceProcess& process,
                                              absl::Duration timeout) {
  ::unlink(process.ready_file.c_str());
  FIELDLOOP_ASSIGN_OR_RETURN(const pid_t pid, Spawn(process));
  children_.push_back({.process = process,
                       .pid = pid,
                       .started = absl::Now(),
                       .restart_at = absl::InfiniteFuture(),
                       .failures = 0});
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    const int signal = WaitSignal(absl::Milliseconds(20));
    if (signal == SIGINT || signal == SIGTERM) {
      return absl::CancelledError("stopped");
    }
    if (std::ifstream file(process.ready_file); file) {
      std::ostringstream text;
      text << file.rdbuf();
      return text.str();
    }
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      children_.pop_back();
      return absl::UnavailableError(absl::StrCat(process.name, " did not start: ", EndText(status),
                                                 "\n", Tail(process.log_file)));
    }
    if (absl::Now() > deadline) {
      return absl::UnavailableError(absl::StrCat(process.name, " is not ready after ",
                                                 absl::FormatDuration(timeout), "\n",
                                                 Tail(process.log_file)));
    }
  }
}

void Supervisor::Watch(const std::function<void(const std::string&)>& say) {
  for (;;) {
    const absl::Time now = absl::Now();
    absl::Time next = absl::InfiniteFuture();
    for (Child& child : children_) {
      int status = 0;
      if (child.pid > 0 && ::waitpid(child.pid, &status, WNOHANG) == child.pid) {
        child.pid = -1;
        child.failures = now - child.started > kSteady ? 0 : child.failures + 1;
        const absl::Duration wait = std::min(
            absl::Milliseconds(100) * (1 << std::min(child.failures, 8)), absl::Seconds(10));
        child.restart_at = now + wait;
        say(absl::StrCat(child.process.name, " ended (", EndText(status), "); restart in ",
                         absl::FormatDuration(wait), "; log: ", child.process.log_file));
      }
      if (child.pid < 0 && child.restart_at <= now) {
        const absl::StatusOr<pid_t> pid = Spawn(child.process);
        if (pid.ok()) {
          child.pid = *pid;
          child.started = now;
          child.restart_at = absl::InfiniteFuture();
        } else {
          say(std::string(pid.status().message()));
          child.restart_at = now + absl::Seconds(5);
        }
      }
      next = std::min(next, child.restart_at);
    }
    const int signal = WaitSignal(std::min(next - absl::Now(), absl::Seconds(60)));
    if (signal == SIGINT || signal == SIGTERM) {
      return;
    }
  }
}

void Supervisor::StopAll(absl::Duration grace) {
  for (const Child& child : children_) {
    if (child.pid > 0) {
      ::kill(child.pid, SIGTERM);
    }
  }
  const absl::Time deadline = absl::Now() + grace;
  for (const Child& child : children_) {
    int status = 0;
    while (child.pid > 0 && ::waitpid(child.pid, &status, WNOHANG) == 0) {
      if (absl::Now() > deadline) {
        ::kill(child.pid, SIGKILL);
        ::waitpid(child.pid, &status, 0);
        break;
      }
      WaitSignal(absl::Milliseconds(20));
    }
  }
  children_.clear();
}

}  // namespace fieldloop::cli
