// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_RUNNER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_RUNNER_H_

#include <stop_token>
#include <vector>

#include "services/build/domain/trainer_runner.h"
#include "services/common/clock/clock.h"

namespace fieldloop::build {

// Runs trainers as processes below this one, which do not outlive it.
class ProcessRunner final : public TrainerRunner {
 public:
  // `clock` must outlive this object.
  explicit ProcessRunner(const Clock& clock) : clock_(clock) {}

  absl::Status Check(const TrainerProgram& program) const override;
  absl::Status Run(const TrainerTask& task, std::stop_token stop,
                   TrainerListener& listener) override;
  absl::Status Discard(const BuildKey& /*build*/) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<BuildKey>> Kept() override { return std::vector<BuildKey>(); }

 private:
  const Clock& clock_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_PROCESS_RUNNER_H_
