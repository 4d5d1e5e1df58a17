// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_PROGRAM_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_PROGRAM_H_

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/build/domain/trainer.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// What a trainer may use. A trainer that uses more is ended.
struct TrainerLimits {
  absl::Duration time = absl::Hours(2);
  absl::Duration cpu_time = absl::InfiniteDuration();  // Of each of its processes.
  std::int64_t memory_bytes = std::int64_t{8} << 30;   // Of all its processes together.
  std::int64_t file_bytes = std::int64_t{4} << 30;     // Of each file that it writes.
  std::int64_t processes = 256;                        // At a time.
  bool network = false;                                // Left to it.
};

// A file or a folder that a trainer is made of.
struct TrainerFile {
  std::string name;  // As it counts for the digest.
  std::string path;
};

// A program that trains.
struct TrainerProgram {
  std::string id;
  TrainerContract contract = TrainerContract::kFieldloop;
  // The first word is a path; the arguments of the contract follow on the last.
  std::vector<std::string> command;
  // The same as they count for the digest: without the folders of this machine.
  std::vector<std::string> words;
  // Folders with all that is in them.
  std::vector<TrainerFile> files;
  // Added to the few variables that are passed on.
  std::map<std::string, std::string> environment;
  TrainerLimits limits;
  // Learning blocks only: they get standardised features, and a column of labels for each class.
  bool standardised = false;
  bool one_hot = false;
};

// The built-in trainer: `path` alone.
TrainerProgram BuiltInTrainer(const std::string& path, const TrainerLimits& limits);

// What decides the outcome, in hex. Of a program that is one file and nothing more, the SHA-256 of
// the file; of others the SHA-256 over contract, words, environment, and the name and SHA-256 of
// each file, in order. ABORTED, with a sentence for people, if a file cannot be read.
absl::StatusOr<std::string> DigestOf(const TrainerProgram& program);

// Runs a trainer with `arguments` after its own, in `job.scratch_directory`, and gives what it
// prints to `listener`: lines of its standard output that are events, and the rest as log.
//
// CANCELLED when `stop` was requested; DEADLINE_EXCEEDED when it took too long; ABORTED, with a
// sentence for people, when it broke another limit or did not end well.
absl::Status RunTrainer(const TrainerProgram& program, const TrainingJob& job,
                        const std::vector<std::string>& arguments, std::stop_token stop,
                        const Clock& clock, TrainerListener& listener);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_PROGRAM_H_
