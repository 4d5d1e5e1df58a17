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

// Id of the built-in trainer.
inline constexpr char kBuiltInTrainer[] = "fieldloop-trainer";

// In the order of fieldloop.build.v1.Trainer.Contract.
enum class TrainerContract : std::uint8_t { kFieldloop = 1, kLearningBlock };

struct TrainerIdentity {
  std::string id;
  std::string digest;  // SHA-256 over all that decides what it makes of its inputs, in hex.
  TrainerContract contract = TrainerContract::kFieldloop;
};

struct TrainingJob {
  std::string project = {};       // Of the build.
  std::int64_t number = 0;        // Of the build.
  std::string directory;          // Holds the training set, and the parent's file.
  std::string out_directory;      // Exists and is empty.
  std::string scratch_directory;  // Exists and is empty: the program's own.
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
  // A pass of `epochs` in all.
  virtual void OnEpoch(const Epoch& epoch, std::int32_t epochs) = 0;
  virtual void OnCandidate(const Candidate& candidate) = 0;
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

  // 1 to 39 characters of [a-z0-9-].
  virtual absl::string_view id() const = 0;
  virtual TrainerContract contract() const = 0;

  // ABORTED, with a sentence for people, if the program cannot be read.
  virtual absl::StatusOr<TrainerIdentity> Identify() = 0;

  // Trains; returns when the program has ended. CANCELLED when `stop` was requested;
  // DEADLINE_EXCEEDED when it took too long; ABORTED, with a sentence for people, when it did not
  // work out.
  virtual absl::StatusOr<TrainedModel> Train(const TrainingJob& job, std::stop_token stop,
                                             TrainerListener& listener) = 0;
};

// The trainers of an installation, the built-in one first, the others by id. Thread-safe.
class TrainerSet {
 public:
  // All must outlive this object.
  TrainerSet(Trainer& built_in, std::vector<Trainer*> others);

  // The trainer `id`, the built-in one if that is empty. INVALID_ARGUMENT, naming `field` and those
  // there are.
  absl::StatusOr<Trainer*> Find(absl::string_view field, absl::string_view id) const;

  // The digest of one whose program cannot be read is empty.
  std::vector<TrainerIdentity> List() const;

 private:
  std::vector<Trainer*> trainers_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_H_
