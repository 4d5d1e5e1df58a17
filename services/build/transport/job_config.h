// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_CONFIG_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_CONFIG_H_

#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/domain/trainer_run_store.h"
#include "services/build/domain/trainer_runner.h"

namespace fieldloop::build {

// How trainers run as Jobs of Kubernetes: the file of --jobs (docs/kubernetes.md).
struct JobConfig {
  std::string name_space;                 // Of the Jobs; empty: that of the service account.
  std::string name = "fieldloop";         // Names of Jobs begin with it.
  std::string image;                      // Holds fieldloop-trainer-runner and fieldloop-trainer.
  std::string service;                    // Address at which pods reach this service, "host:port".
  absl::Duration start = absl::Hours(1);  // That a pod may wait for its start.
  absl::Duration keep = absl::Hours(1);   // That Kubernetes keeps a Job that has ended.
  std::string api;                        // Empty: as the environment of a pod says.
  std::string credentials;                // Folder; empty: that of a pod.
  nlohmann::json pod = nlohmann::json::object();
};

// Reads the file of --jobs. INVALID_ARGUMENT names the field, what was found and what is wanted.
absl::StatusOr<JobConfig> ParseJobConfig(absl::string_view json);

// Checks a "pod" of a trainer or of the file of --jobs; `path` names it.
absl::Status CheckPod(absl::string_view path, const nlohmann::json& pod);

// Names an object of Kubernetes after a build: the same for the same build, in every replica.
std::string JobName(const JobConfig& config, const BuildKey& build);

// The secret of a run: its token, and the CA of this service.
std::string SecretName(const std::string& job_name, const TrainerRun& run);

// What a Job's annotation says of the run that it was made for; empty if it has none.
std::string RunOfJob(const nlohmann::json& job);

// The Job that runs `task` as `run`.
nlohmann::json JobManifest(const JobConfig& config, const TrainerTask& task, const TrainerRun& run);

// The secret that its pod reads; Kubernetes deletes it with the Job, of which `job` is what the API
// returned.
nlohmann::json SecretManifest(const nlohmann::json& job, const TrainerRun& run,
                              absl::string_view ca_pem);

// How long a run may take from its beginning: to start, to train, to fetch and to give back.
absl::Duration LongestRun(const JobConfig& config, const TrainerTask& task);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_JOB_CONFIG_H_
