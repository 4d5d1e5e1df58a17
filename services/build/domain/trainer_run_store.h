// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUN_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUN_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// One run of a trainer somewhere else.
struct TrainerRun {
  std::string project;
  std::int64_t number = 0;  // Of the build, which has at most one run.
  std::string id;           // 16 hex digits, another one for each run of a build.
  std::string token;        // "flr_" + id + "_" + secret: what the run proves itself with.
  std::string inputs;       // Digest of the blob with what it gets.
  absl::Time expire_time;   // The token is worth nothing from then on.
  // How it ended, as the run told.
  bool finished = false;
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string message;
  std::string outputs;  // Digest of the blob with what it made; empty: nothing.
  friend bool operator==(const TrainerRun&, const TrainerRun&) = default;
};

// Keeps runs. What an implementation must do is checked in
// tests/services/build/storage/trainer_run_store_contract.h. Thread-safe. Every method may return
// UNAVAILABLE.
class TrainerRunStore {
 public:
  TrainerRunStore() = default;
  TrainerRunStore(const TrainerRunStore&) = delete;
  TrainerRunStore& operator=(const TrainerRunStore&) = delete;
  virtual ~TrainerRunStore() = default;

  // Stores `run` unless its build has one. Returns the one that is stored then.
  virtual absl::StatusOr<TrainerRun> Insert(const TrainerRun& run) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<TrainerRun> Get(absl::string_view project, std::int64_t number) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<TrainerRun> GetById(absl::string_view id) = 0;
  // Stores how the run `run.id` ended unless it is stored already. Returns what is stored then.
  // NOT_FOUND.
  virtual absl::StatusOr<TrainerRun> Finish(const TrainerRun& run) = 0;
  // OK if there is no such run.
  virtual absl::Status Delete(absl::string_view id) = 0;
  // All, by project and number.
  virtual absl::StatusOr<std::vector<TrainerRun>> List() = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_TRAINER_RUN_STORE_H_
