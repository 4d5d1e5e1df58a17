// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_CLI_UP_SUPERVISOR_H_
#define FIELDLOOP_SERVICES_CLI_UP_SUPERVISOR_H_

#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fieldloop::cli {

// A program to keep running.
struct ServiceProcess {
  std::string name;
  std::vector<std::string> command;  // Program and its arguments.
  std::string ready_file;            // Written by it once it listens.
  std::string log_file;              // Gets what it prints.
};

// Starts programs and keeps them running. One thread only; SIGCHLD, SIGINT and SIGTERM must be
// blocked in the process before any other thread starts. A program dies with this process, however
// that ends.
class Supervisor {
 public:
  // Starts a program and waits until its ready file is there: returns its content. UNAVAILABLE,
  // with the last lines of its log, if it ends first or takes longer than `timeout`; CANCELLED if a
  // stop signal comes.
  absl::StatusOr<std::string> Start(const ServiceProcess& process, absl::Duration timeout);

  // Restarts programs that end, waiting longer after each time in a row, until SIGINT or SIGTERM.
  void Watch(const std::function<void(const std::string&)>& say);

  // Stops all at once: SIGTERM, and SIGKILL to those that are not gone after `grace`.
  void StopAll(absl::Duration grace);

 private:
  struct Child {
    ServiceProcess process;
    pid_t pid = -1;
    absl::Time started;
    absl::Time restart_at = absl::InfiniteFuture();
    int failures = 0;  // Ends in a row within a minute of the start.
  };
  std::vector<Child> children_;
};

}  // namespace fieldloop::cli

#endif  // FIELDLOOP_SERVICES_CLI_UP_SUPERVISOR_H_
