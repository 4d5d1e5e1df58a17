// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_NEIGHBOURS_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_NEIGHBOURS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/model.h"
#include "services/evaluation/domain/policy.h"

namespace fieldloop::evaluation {

// What this service needs of the others, in its own words; transport/ implements it over gRPC,
// tests by fakes. All are thread-safe, and every method may return UNAVAILABLE or
// DEADLINE_EXCEEDED, after which it may be repeated. A `request_id` makes a repeat return what the
// first call made.

struct BuildStatus {
  enum class State { kRunning, kSucceeded, kFailed, kCancelled };
  State state = State::kRunning;
  std::string activity;
  double progress = 0;
  std::string error;
  std::string model;  // Name, on kSucceeded.
};

struct ReleaseStatus {
  std::string name;
  bool is_signed = false;  // Enough release keys have signed.
};

// The build service.
class ModelRegistry {
 public:
  ModelRegistry() = default;
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;
  virtual ~ModelRegistry() = default;

  // `name` may end with an alias: "projects/x/models/champion". NOT_FOUND.
  virtual absl::StatusOr<Model> GetModel(const std::string& name) = 0;
  // The model with a digest in hex, remembered once found. NOT_FOUND.
  virtual absl::StatusOr<Model> FindModel(const std::string& project,
                                          const std::string& digest) = 0;
  // The .tflite file.
  virtual absl::StatusOr<std::string> DownloadModel(const std::string& name) = 0;

  virtual absl::StatusOr<std::string> CreateBuild(const std::string& project,
                                                  const std::string& dataset_version,
                                                  const std::string& impulse, std::uint32_t seed,
                                                  const std::string& request_id) = 0;
  virtual absl::StatusOr<BuildStatus> GetBuild(const std::string& name) = 0;
  // OK too when it was done.
  virtual absl::Status CancelBuild(const std::string& name) = 0;

  virtual absl::StatusOr<ReleaseStatus> CreateRelease(const std::string& project,
                                                      const std::string& model,
                                                      const std::vector<std::string>& hardware_ids,
                                                      const std::string& request_id) = 0;
  virtual absl::StatusOr<ReleaseStatus> GetRelease(const std::string& name) = 0;
  // Does nothing when the alias points there already.
  virtual absl::Status SetAlias(const std::string& project, const std::string& alias,
                                const std::string& model, const std::string& reason) = 0;
};

struct SampleCounts {
  std::int64_t labelled = 0;
  std::map<std::string, std::int64_t> by_label;  // Both sides.
};

struct LabelledRange {
  std::int64_t start = 0;  // First reading.
  std::int64_t end = 0;    // Last reading, inclusive; -1: the last of the sample.
  std::string label;
};

// One recording of the testing side, at an even rate.
struct TestingSample {
  std::string name;
  std::vector<std::string> axes;
  double frequency_hz = 0;
  std::vector<float> values;  // values[reading * axes + axis].
  std::vector<LabelledRange> ranges;
  std::string device;  // Empty for an upload.
  std::map<std::string, std::string> metadata;
};

// The ingestion service.
class SampleArchive {
 public:
  SampleArchive() = default;
  SampleArchive(const SampleArchive&) = delete;
  SampleArchive& operator=(const SampleArchive&) = delete;
  virtual ~SampleArchive() = default;

  // Counts labelled samples stored at or after `created_after`.
  virtual absl::StatusOr<SampleCounts> CountLabelled(const std::string& project, bool devices_only,
                                                     bool testing_only,
                                                     absl::Time created_after) = 0;
  // Makes the dataset, of everything that is labelled, unless it is there.
  virtual absl::Status EnsureDataset(const std::string& dataset) = 0;
  // Fixes what the dataset is now; returns the version's name. FAILED_PRECONDITION, reason
  // DATASET_EMPTY.
  virtual absl::StatusOr<std::string> CreateDatasetVersion(const std::string& dataset) = 0;
  // Calls `sink` with each sample of the testing side and the share of the version that was read so
  // far; stops at its first error and returns it. NOT_FOUND.
  virtual absl::Status ForEachTestingSample(
      const std::string& dataset_version,
      absl::FunctionRef<absl::Status(const TestingSample& sample, double share)> sink) = 0;
};

// What devices are asked to send back.
struct Collection {
  std::map<std::string, std::string> attributes;
  int samples_per_period = 0;
  double random_share = 0.5;
  int samples_total = 0;

  friend bool operator==(const Collection&, const Collection&) = default;
};

struct RolloutStatus {
  enum class State { kRunning, kPaused, kCompleted, kFailed, kCancelled };
  State state = State::kRunning;
  std::string reason;
  int stage = 0;  // From 0.
  int target_count = 0;
  int offered_count = 0;
  int confirmed_count = 0;
  int failed_count = 0;
};

// The distribution service.
class Fleet {
 public:
  Fleet() = default;
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;
  virtual ~Fleet() = default;

  // Makes `collection` the project's, and leaves all other settings as they are. Does nothing when
  // it is set already.
  virtual absl::Status OpenCollection(const std::string& project, const Collection& collection) = 0;
  // Takes the project's collection away if it is still `collection`; another one is somebody
  // else's.
  virtual absl::Status CloseCollection(const std::string& project,
                                       const Collection& collection) = 0;
  // Starts a rollout of a release; returns its name. FAILED_PRECONDITION, reason ROLLOUT_ACTIVE,
  // RELEASE_NOT_SIGNED or NO_DEVICES.
  virtual absl::StatusOr<std::string> CreateRollout(const std::string& project,
                                                    const std::string& release,
                                                    const RolloutPolicy& plan,
                                                    const std::string& request_id) = 0;
  virtual absl::StatusOr<RolloutStatus> GetRollout(const std::string& name) = 0;
  // OK too when it was done.
  virtual absl::Status CancelRollout(const std::string& name, const std::string& reason) = 0;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_NEIGHBOURS_H_
