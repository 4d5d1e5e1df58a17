// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/child_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kExitNoExec = 127;
constexpr int kNiceness = 10;  // Training must not keep devices waiting for their answers.
constexpr unsigned int kFirstInherited = 3;

struct Pipe {
  int read = -1;
  int write = -1;
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  bool Open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      return false;
    }
    read = ends[0];
    write = ends[1];
    return true;
  }
  void CloseRead() {
    if (read >= 0) {
      close(read);
      read = -1;
    }
  }
  void CloseWrite() {
    if (write >= 0) {
      close(write);
      write = -1;
    }
  }
  int TakeRead() {
    const int taken = read;
    read = -1;
    return taken;
  }
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> PassedEnvironment() {
  std::vector<std::string> passed;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!absl::StartsWith(*entry, "FIELDLOOP_")) {
      passed.emplace_back(*entry);
    }
  }
  return passed;
}

// Runs in the child between fork and exec, so it may call only what is safe in a signal handler:
// other threads of the parent may have held any lock.
[[noreturn]] void BecomeProgram(char* const* arguments, char* const* environment, pid_t parent,
                                int in, int out, int err, int failure) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {  // The parent died before prctl.
    _exit(kExitNoExec);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  [[maybe_unused]] const int niceness = nice(kNiceness);
  if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
      dup2(err, STDERR_FILENO) >= 0) {
    // Nothing of the service's (sockets, database, keys) goes to the program.
    close_range(kFirstInherited, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(arguments[0], arguments, environment);
  }
  const int reason = errno;
  [[maybe_unused]] const ssize_t written = write(failure, &reason, sizeof(reason));
  _exit(kExitNoExec);
}

}  // namespace

ChildProcess::ChildProcess(pid_t pid, int stdout_fd, int stderr_fd)
    : pid_(pid), stdout_(stdout_fd), stderr_(stderr_fd) {
  for (const int fd : {stdout_, stderr_}) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
  }
}

ChildProcess::~ChildProcess() {
  Kill();
  Reap();
  for (const int fd : {stdout_, stderr_}) {
    if (fd >= 0) {
      close(fd);
    }
  }
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments) {
  std::vector<std::string> argument_texts = arguments;
  std::vector<std::string> environment_texts = PassedEnvironment();
  const std::vector<char*> argument_list = Pointers(argument_texts);
  const std::vector<char*> environment_list = Pointers(environment_texts);
  Pipe out;
  Pipe err;
  Pipe failure;
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (in < 0 || !out.Open() || !err.Open() || !failure.Open()) {
    const int reason = errno;
    if (in >= 0) {
      close(in);
    }
    return absl::UnavailableError(
        absl::StrCat("cannot start ", arguments[0], ": ", std::strerror(reason)));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    BecomeProgram(argument_list.data(), environment_list.data(), parent, in, out.write, err.write,
                  failure.write);
  }
  const int fork_error = errno;
  close(in);
  if (pid < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start ", arguments[0], ": ", std::strerror(fork_error)));
  }
  setpgid(pid, pid);  // Whoever is first; Kill must never reach our own group.
  out.CloseWrite();
  err.CloseWrite();
  failure.CloseWrite();
  std::unique_ptr<ChildProcess> child(new ChildProcess(pid, out.TakeRead(), err.TakeRead()));
  int reason = 0;
  ssize_t got = 0;
  do {
    got = read(failure.read, &reason, sizeof(reason));
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start ", arguments[0], ": ", std::strerror(reason)));
  }
  return child;
}

bool ChildProcess::Drain(int& fd, Sink sink) {
  std::array<char, kReadBytes> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got > 0) {
    sink(absl::string_view(buffer.data(), static_cast<std::size_t>(got)));
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return false;
  }
  close(fd);
  fd = -1;
  return false;
}

bool ChildProcess::HasEnded() const {
  siginfo_t info;
  std::memset(&info, 0, sizeof(info));
  // WNOWAIT: the process stays a zombie, so that its group's number cannot be given to another.
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == pid_;
}

bool ChildProcess::Pump(absl::Duration wait, Sink on_stdout, Sink on_stderr) {
  if (reaped_) {
    return false;
  }
  const bool ended = HasEnded();
  std::array<pollfd, 2> fds{{{.fd = stdout_, .events = POLLIN, .revents = 0},
                             {.fd = stderr_, .events = POLLIN, .revents = 0}}};
  if (!ended) {
    poll(fds.data(), fds.size(), static_cast<int>(absl::ToInt64Milliseconds(wait)));
  } else {
    // What it left running holds the pipes open and would keep us waiting.
    Kill();
  }
  bool got = false;
  if (stdout_ >= 0) {
    got = Drain(stdout_, on_stdout) || got;
  }
  if (stderr_ >= 0) {
    got = Drain(stderr_, on_stderr) || got;
  }
  if (ended && !got) {
    Reap();
    return false;
  }
  return true;
}

void ChildProcess::Kill() {
  if (!reaped_) {
    kill(-pid_, SIGKILL);
  }
}

void ChildProcess::Reap() {
  if (reaped_) {
    return;
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  end_ = WIFSIGNALED(status) ? ProcessEnd{.by_signal = true, .number = WTERMSIG(status)}
                             : ProcessEnd{.by_signal = false, .number = WEXITSTATUS(status)};
}

ProcessEnd ChildProcess::End() {
  Reap();
  return end_;
}

}  // namespace fieldloop::build
