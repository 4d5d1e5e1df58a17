// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_PROGRAM_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_PROGRAM_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/build/domain/trainer.h"

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
  // The first word is a path; the arguments of the contract follow on the last. With an image, the
  // words as they are, for the image to know.
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
  // The container image that holds the program, by its digest; empty: it is on this machine.
  std::string image = {};
  // What the pod of this trainer needs beyond that of others, a JSON object (docs/kubernetes.md);
  // empty: nothing.
  std::string pod = {};
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_PROGRAM_H_
