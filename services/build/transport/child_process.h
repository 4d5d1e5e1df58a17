// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_CHILD_PROCESS_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_CHILD_PROCESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// What the kernel enforces on each process of a program; 0 is no limit.
struct KernelLimits {
  std::int64_t cpu_seconds = 0;
  std::int64_t file_bytes = 0;
  std::int64_t data_bytes = 0;  // Private writable memory, touched or not.
};

// What is started.
struct Program {
  std::vector<std::string> arguments;    // The first is a path.
  std::vector<std::string> environment;  // "NAME=value"; nothing else is passed on.
  std::string working_directory;
  KernelLimits limits;
  bool with_network = false;
};

// How a process ended: by itself with a code, or by a signal.
struct ProcessEnd {
  bool by_signal = false;
  int number = 0;
};

// A program with all that it starts. Between it and this process stands a keeper, a process that
// adopts whatever the program leaves behind, also in a session of its own, and that ends everything
// when the program has ended, when it is told to, and when this process dies in whatever way. The
// program has nothing on its standard input, its own process group, and, where the system allows
// it, no network but a loopback of its own. Not thread-safe.
class ChildProcess {
 public:
  using Sink = absl::FunctionRef<void(absl::string_view)>;

  // UNAVAILABLE if it cannot be started.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const Program& program);
  // Kills the program with all that it started, and waits until nothing of it is left.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Why the network could not be taken from it; OK if it was, or was to stay.
  const absl::Status& isolation() const { return isolation_; }

  // Waits at most `wait` for output and gives it to the sinks. False once the program with all that
  // it started is gone and everything that was printed was given.
  bool Pump(absl::Duration wait, Sink on_stdout, Sink on_stderr);
  // Kills the program with all that it started. Pump tells when it is gone.
  void Kill();
  // How the program ended. Call after Pump returned false.
  ProcessEnd End() const { return end_; }
  // The process below which all of the program is.
  pid_t keeper() const { return keeper_; }

 private:
  ChildProcess(pid_t keeper, int stdout_fd, int stderr_fd, int control_fd, int end_fd);
  bool HasEnded() const;
  static bool Drain(int& fd, Sink sink);
  void Reap();

  const pid_t keeper_;
  int stdout_;
  int stderr_;
  int control_;  // Closing it is the order to end.
  int end_report_;
  bool reaped_ = false;
  absl::Status isolation_;
  ProcessEnd end_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_CHILD_PROCESS_H_
