// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

// fieldloop-trainer-runner: the program of a trainer's pod. Fetches what is to be trained from the
// build service, runs the trainer, gives back what it made.

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <pthread.h>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>
#include <sys/prctl.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/build/transport/remote_run.h"
#include "services/common/clock/clock.h"
#include "services/common/grpc/client_call.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace {

constexpr char kTokenVariable[] = "FIELDLOOP_RUN_TOKEN";
constexpr int kExitTemporary = 75;  // EX_TEMPFAIL of sysexits.h.
constexpr int kExitStopped = 143;   // As a shell tells SIGTERM.

struct Options {
  std::string service;
  std::string server_name = "build";
  std::string ca;
  std::string work;
};

absl::Status Run(const Options& options, const std::string& token, std::stop_token stop) {
  const fieldloop::SystemClock clock;
  fieldloop::TlsFiles tls;
  tls.ca = options.ca;
  fieldloop::build::RemoteRun run;
  FIELDLOOP_ASSIGN_OR_RETURN(
      run.service, fieldloop::OpenChannel(options.service, tls, options.server_name, token));
  run.folder = options.work;
  std::error_code ignored;
  run.program_folder =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path().string();
  return fieldloop::build::RunForService(
      run, clock, stop,
      [stop](absl::Duration time) {
        const auto until = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(time);
        while (!stop.stop_requested() && std::chrono::steady_clock::now() < until) {
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
      },
      std::cout);
}

}  // namespace

int main(int argc, char** argv) try {
  // The trainer runs as the same user: what it could read of this process, it could read of the
  // token. A process that is not dumpable belongs to root in /proc (proc(5), PR_SET_DUMPABLE).
  prctl(PR_SET_DUMPABLE, 0);
  const char* const variable = std::getenv(kTokenVariable);
  const std::string token = variable == nullptr ? "" : variable;
  unsetenv(kTokenVariable);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  Options options;
  CLI::App app{"Runs one training for the build service, in a pod of its own."};
  app.add_option("--service", options.service, "Address of the build service")->required();
  app.add_option("--server-name", options.server_name, "Name that its certificate carries")
      ->capture_default_str();
  app.add_option("--ca", options.ca, "PEM of the CA of the services")->required();
  app.add_option("--work", options.work, "Empty folder for data, outputs and scratch files")
      ->required();
  app.footer(
      "The token of the run is in FIELDLOOP_RUN_TOKEN. Exit code 0: the service knows how "
      "the run ended, whether well or not; 75: another run may do better.");
  CLI11_PARSE(app, argc, argv);
  if (token.empty()) {
    std::cerr << kTokenVariable << " is not set, want the token of a run\n";
    return EXIT_FAILURE;
  }

  std::stop_source stop;
  std::thread([signals, stop]() mutable {
    int number = 0;
    sigwait(&signals, &number);
    stop.request_stop();
  }).detach();
  // What it asks of the service, and the program that it runs, are in the trace of the build.
  fieldloop::CallContext call;
  if (const char* const trace = std::getenv(fieldloop::kTraceparentVariable); trace != nullptr) {
    call.trace = fieldloop::TraceOf(trace);
    call.request_id = call.trace.trace_id;
  }
  const fieldloop::CallScope scope(std::move(call));
  const absl::Status status = Run(options, token, stop.get_token());
  if (status.ok()) {
    return EXIT_SUCCESS;
  }
  std::cerr << status.message() << std::endl;
  return absl::IsCancelled(status)     ? kExitStopped
         : absl::IsUnavailable(status) ? kExitTemporary
                                       : EXIT_FAILURE;
} catch (const std::exception& error) {  // Libraries throw while they are set up.
  std::cerr << error.what() << std::endl;
  return EXIT_FAILURE;
}
