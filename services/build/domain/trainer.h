// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_H_

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/build.h"
#include "services/build/domain/recipe.h"

namespace fieldloop::build {

struct TrainerIdentity {
  std::string name;
  std::string digest;  // SHA-256 of the program, in hex.
};

struct TrainingJob {
  std::string directory;      // Holds the training set, and the parent's file.
  std::string out_directory;  // Exists and is empty.
  ImpulseRecipe recipe;
  std::vector<std::string> classes;
  std::uint32_t seed = 1;
  std::string parent_file;  // File name within `directory`; empty: none.
};

struct TrainedModel {
  std::string file;  // Content of the .tflite file.
  std::vector<Metric> metrics;
};

// Hears what a trainer says while it works, in the thread that called Train.
class TrainerListener {
 public:
  virtual ~TrainerListener() = default;
  virtual void OnActivity(absl::string_view text) = 0;
  // Passes done and in all; loss and accuracy are NaN when the trainer did not say.
  virtual void OnEpoch(std::int32_t epoch, std::int32_t epochs, double loss, double accuracy) = 0;
  // A piece of what it printed for people.
  virtual void OnLog(absl::string_view text) = 0;
};

// A program that makes a model from a training set. Thread-safe.
class Trainer {
 public:
  Trainer() = default;
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  virtual ~Trainer() = default;

  // ABORTED, with a sentence for people, if the program cannot be read.
  virtual absl::StatusOr<TrainerIdentity> Identify() = 0;

  // Trains; returns when the program has ended. CANCELLED when `stop` was requested;
  // DEADLINE_EXCEEDED when it took too long; ABORTED, with a sentence for people, when it did not
  // work out.
  virtual absl::StatusOr<TrainedModel> Train(const TrainingJob& job, std::stop_token stop,
                                             TrainerListener& listener) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_H_
