// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "services/build/transport/process_runner.h"
#include "services/common/clock/clock.h"
#include "tests/services/build/support/fake_kubernetes.h"
#include "tests/services/build/support/kubernetes_bed.h"
#include "tests/services/build/transport/trainer_runner_contract.h"

namespace fieldloop::build {
namespace {

using ::fieldloop::testing::FakeKubernetes;

class Processes final : public RunnerBed {
 public:
  std::unique_ptr<TrainerRunner> MakeRunner() override {
    return std::make_unique<ProcessRunner>(clock_);
  }
  bool outlives() const override { return false; }

 private:
  const SystemClock clock_;
};

// Jobs of a fake that runs the real fieldloop-trainer-runner.
class FakeJobs final : public RunnerBed {
 public:
  explicit FakeJobs(const std::string& programs) : kubernetes_(Linked(programs)) {}
  std::unique_ptr<TrainerRunner> MakeRunner() override { return bed_.MakeRunner(); }
  bool outlives() const override { return true; }

 private:
  static const std::string& Linked(const std::string& programs) {
    std::filesystem::create_symlink(FIELDLOOP_TRAINER_RUNNER,
                                    programs + "/fieldloop-trainer-runner");
    return programs;
  }
  FakeKubernetes kubernetes_;
  KubernetesBed bed_{{.api = kubernetes_.api(), .folder = kubernetes_.credentials()}};
};

// Jobs of the API server that FIELDLOOP_TEST_KUBERNETES names: {"api":..., "credentials":...}. Its
// nodes run pods on this machine, with the folder of the annotation first in their PATH.
class RealJobs final : public RunnerBed {
 public:
  explicit RealJobs(const std::string& programs) : bed_(Access()) {
    bed_.config().pod["annotations"] = {{"fieldloop.test/programs", programs}};
  }
  std::unique_ptr<TrainerRunner> MakeRunner() override { return bed_.MakeRunner(); }
  bool outlives() const override { return true; }

 private:
  static KubernetesAccess Access() {
    const auto said = nlohmann::json::parse(std::getenv("FIELDLOOP_TEST_KUBERNETES"));
    return {.api = said["api"], .folder = said["credentials"]};
  }
  KubernetesBed bed_;
};

std::vector<RunnerUnderTest> Runners() {
  if (std::getenv("FIELDLOOP_TEST_KUBERNETES") != nullptr) {
    return {{"Kubernetes", [](const std::string& programs) -> std::unique_ptr<RunnerBed> {
               return std::make_unique<RealJobs>(programs);
             }}};
  }
  return {{"Processes",
           [](const std::string& /*programs*/) -> std::unique_ptr<RunnerBed> {
             return std::make_unique<Processes>();
           }},
          {"FakeJobs", [](const std::string& programs) -> std::unique_ptr<RunnerBed> {
             return std::make_unique<FakeJobs>(programs);
           }}};
}

INSTANTIATE_TEST_SUITE_P(Runners, TrainerRunnerContract, ::testing::ValuesIn(Runners()),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace fieldloop::build
