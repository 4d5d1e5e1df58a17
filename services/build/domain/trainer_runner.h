// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUNNER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUNNER_H_

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/trainer.h"
#include "services/build/domain/trainer_program.h"

namespace fieldloop::build {

// A file that is taken from a trainer, if it writes it.
struct TrainerOutput {
  std::string name;
  std::int64_t max_bytes = 0;
};

// One call of a trainer's program for a build:
//   COMMAND --info-file DATA/train_input.json --data-directory DATA --out-directory OUT
//   ARGUMENTS...
struct TrainerTask {
  std::string project;
  std::int64_t number = 0;  // Of the build.
  TrainerProgram program;
  std::string data_directory;     // Files; the program sees these and no others.
  std::string out_directory;      // Exists and is empty.
  std::string scratch_directory;  // Exists and is empty.
  std::vector<std::string> arguments;
  std::vector<TrainerOutput> outputs;
};

struct BuildKey {
  std::string project;
  std::int64_t number = 0;
  friend bool operator==(const BuildKey&, const BuildKey&) = default;
};

// Where programs of trainers run. What an implementation must do is checked in
// tests/services/build/transport/trainer_runner_contract.h. Thread-safe.
class TrainerRunner {
 public:
  TrainerRunner() = default;
  TrainerRunner(const TrainerRunner&) = delete;
  TrainerRunner& operator=(const TrainerRunner&) = delete;
  virtual ~TrainerRunner() = default;

  // INVALID_ARGUMENT, with a sentence for people, if `program` is not one that can run here.
  virtual absl::Status Check(const TrainerProgram& program) const = 0;

  // Runs the program to its end, and gives what it prints to `listener`: lines of its standard
  // output that are events, and the rest as log. After OK the outputs that it wrote are in
  // `task.out_directory`. A run of the same build with the same files that another process has
  // begun is taken over where the implementation's runs outlive their process.
  //
  // CANCELLED when `stop` was requested: a run that outlives this process then still goes on until
  // Discard. DEADLINE_EXCEEDED when it took too long; ABORTED, with a sentence for people, when it
  // broke another limit or did not end well; UNAVAILABLE when another run may do better.
  virtual absl::Status Run(const TrainerTask& task, std::stop_token stop,
                           TrainerListener& listener) = 0;

  // Ends the run of a build with all that it started, and forgets what is kept for it. OK if there
  // is none. UNAVAILABLE.
  virtual absl::Status Discard(const BuildKey& build) = 0;

  // The builds for which Discard has something to do. UNAVAILABLE.
  virtual absl::StatusOr<std::vector<BuildKey>> Kept() = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUNNER_H_
