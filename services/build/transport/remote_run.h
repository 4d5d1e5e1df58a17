// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_REMOTE_RUN_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_REMOTE_RUN_H_

#include <functional>
#include <memory>
#include <ostream>
#include <stop_token>
#include <string>

#include <grpcpp/channel.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What fieldloop-trainer-runner does.
struct RemoteRun {
  std::shared_ptr<grpc::Channel> service;  // Carries the token of the run.
  std::string folder;  // Empty; it gets the data, what is made of it, and the program's own files.
  std::string program_folder;  // Where a program without a slash is looked for before PATH.
  absl::Duration patience = absl::Minutes(20);  // With a service that does not answer.
};

// Fetches what is to be run, runs it, prints what it prints to `out` line by line, and tells the
// service how it ended and what it made.
//
// OK once the service knows how the run ended, whether well or not. CANCELLED when `stop` was
// requested; UNAVAILABLE when another run may do better, such as when the service did not answer.
absl::Status RunForService(const RemoteRun& run, const Clock& clock, std::stop_token stop,
                           const std::function<void(absl::Duration)>& sleep, std::ostream& out);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_REMOTE_RUN_H_
