// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_RUNNER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_RUNNER_H_

#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "services/build/domain/trainer_runner.h"
#include "services/build/domain/trainer_runs.h"
#include "services/build/transport/job_config.h"
#include "services/build/transport/kubernetes_client.h"

namespace fieldloop::build {

// Runs trainers as Jobs of Kubernetes, which outlive this process: a Job is named after its build,
// so that whoever works on the build next finds it. Its pod fetches its files from
// TrainerRunService and gives back what it made; its log is read from the API while it runs.
class JobRunner final : public TrainerRunner {
 public:
  // `runs` and `client` must outlive this object. `config.name_space` is not empty. `ca_pem` is
  // what pods trust this service by.
  JobRunner(JobConfig config, std::string ca_pem, TrainerRuns& runs, KubernetesClient& client);

  absl::Status Check(const TrainerProgram& program) const override;
  absl::Status Run(const TrainerTask& task, std::stop_token stop,
                   TrainerListener& listener) override;
  absl::Status Discard(const BuildKey& build) override;
  absl::StatusOr<std::vector<BuildKey>> Kept() override;

 private:
  class Follower;

  std::string Path(absl::string_view group, absl::string_view resource,
                   absl::string_view name = "") const;
  // The Job of `run`, made unless it is there.
  absl::StatusOr<nlohmann::json> FindOrMake(const TrainerTask& task, const TrainerRun& run,
                                            const std::stop_token& stop);
  absl::Status MakeSecret(const nlohmann::json& job, const TrainerRun& run);
  absl::Status DeleteJob(const std::string& name);
  // Puts the outputs of a run that ended well into the task's folder.
  absl::Status Take(const TrainerTask& task, const TrainerRun& run);

  const JobConfig config_;
  const std::string ca_pem_;
  TrainerRuns& runs_;
  KubernetesClient& client_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_RUNNER_H_
