// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_STORES_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_STORES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/drift.h"
#include "services/evaluation/domain/evaluation.h"
#include "services/evaluation/domain/policy.h"
#include "services/evaluation/domain/sketch.h"

namespace fieldloop::evaluation {

// What the domain keeps. Storage implements these; what each must do is written down, and checked,
// in tests/services/evaluation/storage/*_contract.h. All are thread-safe; every method may return
// UNAVAILABLE when the database cannot be reached, after which it may be repeated. Projects are
// "projects/x". Pages follow PageToken: "" for the first, and "" after the last.

template <typename T>
struct Page {
  std::vector<T> rows;
  std::string next_page_token;  // The key of the last row, not yet opaque.
};

class EvaluationStore {
 public:
  EvaluationStore() = default;
  EvaluationStore(const EvaluationStore&) = delete;
  EvaluationStore& operator=(const EvaluationStore&) = delete;
  virtual ~EvaluationStore() = default;

  // Numbers and stores `evaluation`. With a `request_id` that was used in the project before,
  // returns the evaluation that it made.
  virtual absl::StatusOr<Evaluation> Insert(const Evaluation& evaluation,
                                            const std::string& request_id) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<Evaluation> Get(const std::string& project, std::int64_t number) = 0;
  // Newest first, without slices. INVALID_ARGUMENT for a token that is not one of ours.
  virtual absl::StatusOr<Page<Evaluation>> List(const std::string& project, int page_size,
                                                const std::string& page_token) = 0;
  // Replaces what may change: state, progress, error, slices, end_time. NOT_FOUND.
  virtual absl::Status Save(const Evaluation& evaluation) = 0;
  // The oldest that is not done; nothing if there is none.
  virtual absl::StatusOr<std::optional<Evaluation>> NextUnfinished() = 0;
  virtual absl::StatusOr<std::map<EvaluationState, std::int64_t>> CountByState() = 0;
};

class PolicyStore {
 public:
  PolicyStore() = default;
  PolicyStore(const PolicyStore&) = delete;
  PolicyStore& operator=(const PolicyStore&) = delete;
  virtual ~PolicyStore() = default;

  // Stores the next version.
  virtual absl::StatusOr<PolicyVersion> Put(const std::string& project, const std::string& yaml,
                                            absl::Time now) = 0;
  // `version` 0: the newest. NOT_FOUND.
  virtual absl::StatusOr<PolicyVersion> Get(const std::string& project, int version) = 0;
};

// What the driver has to look after.
struct CycleWork {
  std::string project;
  std::int64_t number = 0;
  CycleState state = CycleState::kObserving;
};

class CycleStore {
 public:
  CycleStore() = default;
  CycleStore(const CycleStore&) = delete;
  CycleStore& operator=(const CycleStore&) = delete;
  virtual ~CycleStore() = default;

  // Makes sure that the project has a cycle that is not final, and returns it: the one there is, or
  // a new one in OBSERVING under `policy_version`.
  virtual absl::StatusOr<Cycle> EnsureActive(const std::string& project, int policy_version,
                                             absl::Time now) = 0;
  // NOT_FOUND.
  virtual absl::StatusOr<Cycle> Get(const std::string& project, std::int64_t number) = 0;
  virtual absl::StatusOr<std::optional<Cycle>> Active(const std::string& project) = 0;
  virtual absl::StatusOr<std::optional<Cycle>> FindByRequest(const std::string& project,
                                                             const std::string& request_id) = 0;
  // Newest first.
  virtual absl::StatusOr<Page<Cycle>> List(const std::string& project, int page_size,
                                           const std::string& page_token) = 0;
  // Reads the cycle, lets `change` alter it and writes it back with the next revision, in one
  // transaction; `change` may run more than once. An error of `change` writes nothing and is
  // returned. A cycle that becomes final makes room for the next. NOT_FOUND.
  virtual absl::StatusOr<Cycle> Update(const std::string& project, std::int64_t number,
                                       absl::FunctionRef<absl::Status(Cycle&)> change) = 0;
  // Cycles that are not final or have something to clean up.
  virtual absl::StatusOr<std::vector<CycleWork>> ListWork() = 0;
  // Projects that have a policy and no active cycle, with the newest version of the policy.
  virtual absl::StatusOr<std::vector<std::pair<std::string, int>>> ListIdleProjects() = 0;
  virtual absl::StatusOr<std::map<CycleState, std::int64_t>> CountByState() = 0;
};

// A model of a project that has periods that no look has seen.
struct FreshModel {
  std::string project;
  std::string model_digest;
};

class SketchStore {
 public:
  SketchStore() = default;
  SketchStore(const SketchStore&) = delete;
  SketchStore& operator=(const SketchStore&) = delete;
  virtual ~SketchStore() = default;

  // Stores a sketch unless (device, sequence) is there already; true if it was new.
  //
  // The first sketch of a device after it got another model, or after a cycle of its project ended,
  // starts a new run: from there the device's periods are counted anew, and its baseline with them.
  // A sketch that is older (by sequence) than the device's newest and of another model, or that has
  // no windows, is kept for field metrics only.
  virtual absl::StatusOr<bool> Record(const Sketch& sketch, absl::Time now) = 0;

  // Calls `sink` with sketches that start at or after `start`, by start time, until it returns
  // false.
  virtual absl::Status ForEach(const std::string& project, absl::Time start,
                               absl::FunctionRef<bool(const Sketch&)> sink) = 0;

  virtual absl::StatusOr<std::vector<FreshModel>> ListFreshModels() = 0;
  // All devices that run the model now, by name.
  virtual absl::StatusOr<std::vector<DeviceProgress>> ListProgress(
      const std::string& project, const std::string& model_digest) = 0;
  // Of each of `devices`, its first `baseline` and its newest `recent` periods of the run that
  // `progress` counts. Devices whose run has changed, or that lack a period, are left out.
  virtual absl::StatusOr<std::vector<DevicePeriods>> LoadPeriods(
      const std::string& project, const std::string& model_digest,
      const std::vector<DeviceProgress>& devices, int baseline, int recent) = 0;
  // Number of the last test of the model since the project's last cycle ended; 0: none.
  virtual absl::StatusOr<int> LastLook(const std::string& project,
                                       const std::string& model_digest) = 0;
  // Numbers and stores a report, and what of each device it has seen. ABORTED if another process
  // made the same look.
  virtual absl::StatusOr<DriftReport> SaveLook(const DriftReport& report,
                                               const std::vector<DeviceProgress>& seen) = 0;
  // Newest first.
  virtual absl::StatusOr<Page<DriftReport>> ListReports(const std::string& project, int page_size,
                                                        const std::string& page_token) = 0;
  // The newest report about a model made at or after `since`, or the newest that says drift.
  virtual absl::StatusOr<std::optional<DriftReport>> LatestReport(const std::string& project,
                                                                  const std::string& model_digest,
                                                                  absl::Time since,
                                                                  bool only_drift) = 0;
  // Of each project the newest report that is of a test, if any is kept; by project.
  virtual absl::StatusOr<std::vector<DriftReport>> ListNewestTests() = 0;
  // Deletes sketches received and reports made before `before`, but not the first
  // kKeptBaselinePeriods of a run that still counts. Returns how many sketches.
  virtual absl::StatusOr<std::int64_t> Prune(absl::Time before) = 0;
  virtual absl::StatusOr<std::int64_t> CountSketches() = 0;
};

// The longest baseline that a policy may ask for.
inline constexpr int kKeptBaselinePeriods = 1000;

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_STORES_H_
