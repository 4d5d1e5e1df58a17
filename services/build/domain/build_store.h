// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_STORE_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/domain/build.h"
#include "services/build/domain/fair_order.h"
#include "services/build/domain/model.h"

namespace fieldloop::build {

struct QueueState {
  std::int64_t waiting = 0;
  std::optional<absl::Time> oldest;  // When the build that waits longest was made.
};

// Keeps builds and the queue of them. What an implementation must do is checked in
// tests/services/build/storage/build_store_contract.h. Thread-safe. Every method may return
// UNAVAILABLE. Callbacks may run more than once and must have no side effect of their own.
class BuildStore {
 public:
  BuildStore() = default;
  BuildStore(const BuildStore&) = delete;
  BuildStore& operator=(const BuildStore&) = delete;
  virtual ~BuildStore() = default;

  // Stores a new build under the project's next number and returns it; when its request id is not
  // empty and was used in the project, returns the build of that request instead.
  // RESOURCE_EXHAUSTED, reason QUEUE_FULL, if `max_queued` builds of the project are queued
  // already.
  virtual absl::StatusOr<Build> Insert(const Build& build, std::int64_t max_queued) = 0;

  // The build that a request made. NOT_FOUND.
  virtual absl::StatusOr<Build> GetByRequest(absl::string_view project,
                                             absl::string_view request_id) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<Build> Get(absl::string_view project, std::int64_t number) = 0;

  // Newest first, at most `limit` with numbers below `before`; without histories and candidates.
  virtual absl::StatusOr<std::vector<Build>> List(absl::string_view project, std::int64_t before,
                                                  int limit) = 0;

  // Reads the build, lets `change` alter it and writes it back, as one step. An error of `change`
  // is returned and nothing is written. NOT_FOUND.
  virtual absl::StatusOr<Build> Update(absl::string_view project, std::int64_t number,
                                       absl::FunctionRef<absl::Status(Build&)> change) = 0;

  // Finds the build whose turn it is by FairOrder, of those queued with not_before at or before
  // `now` and those running with a lease that ended before `now`. Lets `claim` alter it and writes
  // it back, as one step, so that no two callers get the same one. nullopt if none waits.
  virtual absl::StatusOr<std::optional<Build>> Claim(absl::Time now,
                                                     absl::FunctionRef<void(Build&)> claim) = 0;

  // Running builds whose owner is `owner`.
  virtual absl::StatusOr<std::vector<Build>> ListHeld(absl::string_view owner) = 0;

  virtual absl::StatusOr<QueueState> Queue() = 0;

  // The queued builds of all projects by FairOrder.
  virtual absl::StatusOr<std::vector<WaitingBuild>> Order(absl::Time now) = 0;

  // In one step: `change` alters the build, which must be there; then `model` is stored under the
  // project's next number, and that number becomes the build's. An error of `change` is returned
  // and nothing is written.
  virtual absl::StatusOr<Model> FinishWithModel(absl::string_view project, std::int64_t number,
                                                const Model& model,
                                                absl::FunctionRef<absl::Status(Build&)> change) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_BUILD_STORE_H_
