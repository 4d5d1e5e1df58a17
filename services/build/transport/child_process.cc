// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "services/build/transport/network_isolation.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kExitNoExec = 127;
constexpr int kNiceness = 10;  // Training must not keep devices waiting for their answers.
constexpr unsigned int kFirstInherited = 3;
// Between the signal that a program can catch and the one that it cannot.
constexpr rlim_t kCpuGraceSeconds = 5;

struct Pipe {
  int read = -1;
  int write = -1;
  ~Pipe() {
    Close(read);
    Close(write);
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
  static void Close(int& fd) {
    if (fd >= 0) {
      close(fd);
      fd = -1;
    }
  }
  static int Take(int& fd) {
    const int taken = fd;
    fd = -1;
    return taken;
  }
};

// What is told of the start, until exec closes the pipe.
enum class Step : int { kIsolation, kStart };
struct Failure {
  Step step = Step::kStart;
  int reason = 0;  // An errno.
};

// Everything that stands between fork and exec, made before fork.
struct Plan {
  char* const* arguments;
  char* const* environment;
  const char* working_directory;
  KernelLimits limits;
  bool with_network;
  int in;
  int out;
  int err;
  int control;  // Its end is the order to end.
  int start;    // Takes a Failure.
  int end;      // Takes the status of the program, as waitpid gives it.
};

// From here to Keep, functions run in a copy of a process with many threads, any of which may have
// held a lock: they may call only what is safe in a signal handler.

template <typename Value>
void Send(int fd, const Value& value) {
  [[maybe_unused]] const ssize_t written = write(fd, &value, sizeof(value));
}

void Limit(decltype(RLIMIT_CPU) resource, std::int64_t limit, rlim_t grace) {
  if (limit > 0) {
    const rlimit value{.rlim_cur = static_cast<rlim_t>(limit),
                       .rlim_max = static_cast<rlim_t>(limit) + grace};
    setrlimit(resource, &value);
  }
}

[[noreturn]] void BecomeProgram(const Plan& plan, pid_t keeper) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  [[maybe_unused]] const int niceness = nice(kNiceness);
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &no_core);
  Limit(RLIMIT_CPU, plan.limits.cpu_seconds, kCpuGraceSeconds);
  Limit(RLIMIT_FSIZE, plan.limits.file_bytes, 0);
  Limit(RLIMIT_DATA, plan.limits.data_bytes, 0);
  if (const int reason = plan.with_network ? 0 : LeaveNetwork(); reason != 0) {
    Send(plan.start, Failure{.step = Step::kIsolation, .reason = reason});
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != keeper) {  // The keeper died before prctl.
    _exit(kExitNoExec);
  }
  if (chdir(plan.working_directory) == 0 && dup2(plan.in, STDIN_FILENO) >= 0 &&
      dup2(plan.out, STDOUT_FILENO) >= 0 && dup2(plan.err, STDERR_FILENO) >= 0) {
    // Nothing of the service's (sockets, database, keys) goes to the program.
    close_range(kFirstInherited, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(plan.arguments[0], plan.arguments, plan.environment);
  }
  Send(plan.start, Failure{.step = Step::kStart, .reason = errno});
  _exit(kExitNoExec);
}

void CloseAllBut(unsigned int a, unsigned int b) {
  const unsigned int low = std::min(a, b);
  const unsigned int high = std::max(a, b);
  if (low > 0) {
    close_range(0, low - 1, 0);
  }
  if (high > low + 1) {
    close_range(low + 1, high - 1, 0);
  }
  close_range(high + 1, ~0U, 0);
}

// Sends SIGKILL to the children of this process. False if the system does not list them.
bool KillChildren() {
  const int file = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  std::array<char, 4096> text{};
  pid_t pid = 0;
  ssize_t got = 0;
  while ((got = read(file, text.data(), text.size())) > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      const char c = text[static_cast<std::size_t>(i)];
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
      } else if (pid > 0) {
        kill(pid, SIGKILL);
        pid = 0;
      }
    }
  }
  close(file);
  return true;
}

// Takes the status of `program` if it is among those that ended. False when there is no child left.
bool ReapOne(pid_t program, int options, int& status, bool& has_status) {
  int ended_status = 0;
  const pid_t ended = waitpid(-1, &ended_status, options);
  if (ended == program) {
    status = ended_status;
    has_status = true;
  }
  return ended > 0 || (ended < 0 && errno == EINTR);
}

// Runs as the keeper: starts the program, waits for its end or for the order to end it, then kills
// until nothing is left. Children of what is killed become the keeper's own, and so their turn
// comes.
[[noreturn]] void Keep(const Plan& plan) {
  setsid();  // Ctrl-C at the service's terminal is for the service, which ends us in its own way.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Nothing but the service's end or its order ends the keeper, else it would leave the program
  // alone.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  const pid_t keeper = getpid();
  const pid_t program = fork();
  if (program == 0) {
    BecomeProgram(plan, keeper);
  }
  if (program < 0) {
    Send(plan.start, Failure{.step = Step::kStart, .reason = errno});
    _exit(kExitNoExec);
  }
  CloseAllBut(static_cast<unsigned int>(plan.control), static_cast<unsigned int>(plan.end));
  const int ends = signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);
  int status = 0;
  bool has_status = false;
  bool ordered = false;
  while (!has_status && !ordered) {
    std::array<pollfd, 2> fds{{{.fd = plan.control, .events = POLLIN, .revents = 0},
                               {.fd = ends, .events = POLLIN, .revents = 0}}};
    poll(fds.data(), fds.size(), -1);
    ordered = fds[0].revents != 0;
    signalfd_siginfo ignored{};
    while (read(ends, &ignored, sizeof(ignored)) > 0) {
    }
    while (!has_status && ReapOne(program, WNOHANG, status, has_status)) {
    }
  }
  while (KillChildren() && ReapOne(program, 0, status, has_status)) {
  }
  if (!has_status) {  // Only where children are not listed.
    kill(-program, SIGKILL);
    waitpid(program, &status, 0);
  }
  Send(plan.end, status);
  _exit(0);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status CannotStart(absl::string_view program, int reason) {
  return absl::UnavailableError(
      absl::StrCat("cannot start ", program, ": ", std::strerror(reason)));
}

// False when the pipe has ended.
template <typename Value>
bool Receive(int fd, Value& value) {
  ssize_t got = 0;
  do {
    got = read(fd, &value, sizeof(value));
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof(value));
}

}  // namespace

ChildProcess::ChildProcess(pid_t keeper, int stdout_fd, int stderr_fd, int control_fd, int end_fd)
    : keeper_(keeper),
      stdout_(stdout_fd),
      stderr_(stderr_fd),
      control_(control_fd),
      end_report_(end_fd) {
  for (const int fd : {stdout_, stderr_}) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
  }
}

ChildProcess::~ChildProcess() {
  Kill();
  Reap();
  Pipe::Close(stdout_);
  Pipe::Close(stderr_);
  Pipe::Close(end_report_);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const Program& program) {
  std::vector<std::string> argument_texts = program.arguments;
  std::vector<std::string> environment_texts = program.environment;
  const std::vector<char*> arguments = Pointers(argument_texts);
  const std::vector<char*> environment = Pointers(environment_texts);
  Pipe in;  // Only its reading end is used.
  Pipe out;
  Pipe err;
  Pipe control;
  Pipe start;
  Pipe end;
  in.read = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (in.read < 0 || !out.Open() || !err.Open() || !control.Open() || !start.Open() ||
      !end.Open()) {
    return CannotStart(program.arguments[0], errno);
  }
  const Plan plan{.arguments = arguments.data(),
                  .environment = environment.data(),
                  .working_directory = program.working_directory.c_str(),
                  .limits = program.limits,
                  .with_network = program.with_network,
                  .in = in.read,
                  .out = out.write,
                  .err = err.write,
                  .control = control.read,
                  .start = start.write,
                  .end = end.write};
  const pid_t keeper = fork();
  if (keeper == 0) {
    // The keeper must see the service's end of this close, not hold one itself.
    close(control.write);
    Keep(plan);
  }
  if (keeper < 0) {
    return CannotStart(program.arguments[0], errno);
  }
  Pipe::Close(start.write);
  Pipe::Close(end.write);
  Pipe::Close(out.write);
  Pipe::Close(err.write);
  std::unique_ptr<ChildProcess> child(
      new ChildProcess(keeper, Pipe::Take(out.read), Pipe::Take(err.read),
                       Pipe::Take(control.write), Pipe::Take(end.read)));
  Failure failure;
  while (Receive(start.read, failure)) {
    if (failure.step == Step::kStart) {
      return CannotStart(program.arguments[0], failure.reason);
    }
    child->isolation_ = absl::UnavailableError(std::strerror(failure.reason));
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
  Pipe::Close(fd);
  return false;
}

bool ChildProcess::HasEnded() const {
  siginfo_t info;
  std::memset(&info, 0, sizeof(info));
  return waitid(P_PID, static_cast<id_t>(keeper_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == keeper_;
}

bool ChildProcess::Pump(absl::Duration wait, Sink on_stdout, Sink on_stderr) {
  if (reaped_) {
    return false;
  }
  const bool ended = HasEnded();
  if (!ended) {
    std::array<pollfd, 3> fds{{{.fd = stdout_, .events = POLLIN, .revents = 0},
                               {.fd = stderr_, .events = POLLIN, .revents = 0},
                               {.fd = end_report_, .events = POLLIN, .revents = 0}}};
    poll(fds.data(), fds.size(), static_cast<int>(absl::ToInt64Milliseconds(wait)));
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

void ChildProcess::Kill() { Pipe::Close(control_); }

void ChildProcess::Reap() {
  if (reaped_) {
    return;
  }
  while (waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  int status = SIGKILL;  // If the keeper itself was killed.
  Receive(end_report_, status);
  end_ = WIFSIGNALED(status) ? ProcessEnd{.by_signal = true, .number = WTERMSIG(status)}
                             : ProcessEnd{.by_signal = false, .number = WEXITSTATUS(status)};
}

}  // namespace fieldloop::build
