// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_CHILD_PROCESS_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_CHILD_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// How a process ended: by itself with a code, or by a signal.
struct ProcessEnd {
  bool by_signal = false;
  int number = 0;
};

// A program in a process group of its own, with nothing on its standard input. It is killed when
// the thread that started it ends, however this process dies. Use it from that thread only.
class ChildProcess {
 public:
  using Sink = absl::FunctionRef<void(absl::string_view)>;

  // Starts `arguments[0]`, a path, with the environment of this process but for FIELDLOOP_*
  // variables, which may hold secrets. UNAVAILABLE if it cannot be started.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments);
  // Kills the process and its group, and waits for it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Waits at most `wait` for output and gives it to the sinks. False once the process has ended and
  // everything it printed was given.
  bool Pump(absl::Duration wait, Sink on_stdout, Sink on_stderr);
  // Kills the process and its group. Pump tells when it is gone.
  void Kill();
  // How it ended. Call after Pump returned false.
  ProcessEnd End();

 private:
  ChildProcess(pid_t pid, int stdout_fd, int stderr_fd);
  bool HasEnded() const;
  static bool Drain(int& fd, Sink sink);
  void Reap();

  const pid_t pid_;
  int stdout_;
  int stderr_;
  bool reaped_ = false;
  ProcessEnd end_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_CHILD_PROCESS_H_
