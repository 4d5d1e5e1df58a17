// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_FAKES_H_
#define FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_FAKES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/build/domain/build_observer.h"
#include "services/build/domain/dataset_source.h"
#include "services/build/domain/model_checker.h"
#include "services/build/domain/model_judge.h"
#include "services/build/domain/trainer.h"
#include "services/build/domain/trainer_runner.h"
#include "services/common/access/access.h"
#include "services/common/status/status_macros.h"
#include "tests/services/build/support/recipes.h"

namespace fieldloop::build {

// One dataset version, "projects/motor/datasets/gait/versions/1".
class FakeDatasets final : public DatasetSource {
 public:
  static constexpr char kVersion[] = "projects/motor/datasets/gait/versions/1";

  FakeDatasets() {
    samples = {SmallSample("a", "run", 6), SmallSample("b", "walk", 6),
               SmallSample("c", "walk", 4, /*testing=*/true)};
  }

  absl::StatusOr<DatasetVersionInfo> GetVersion(absl::string_view name) override {
    FIELDLOOP_RETURN_IF_ERROR(failure);
    if (name != kVersion) {
      return absl::NotFoundError(absl::StrCat("no dataset version ", name));
    }
    return DatasetVersionInfo{.digest = VersionDigest(samples),
                              .sample_count = static_cast<std::int64_t>(samples.size())};
  }

  absl::Status Export(absl::string_view /*name*/, std::stop_token /*stop*/,
                      absl::FunctionRef<absl::Status(const SourceSample&)> sink) override {
    FIELDLOOP_RETURN_IF_ERROR(failure);
    for (const SourceSample& sample : samples) {
      before_sample();
      FIELDLOOP_RETURN_IF_ERROR(sink(sample));
    }
    return absl::OkStatus();
  }

  absl::Status ExportTesting(absl::string_view name, std::stop_token stop,
                             absl::FunctionRef<absl::Status(const SourceSample&)> sink) override {
    return Export(name, std::move(stop), [&](const SourceSample& sample) {
      return sample.testing ? sink(sample) : absl::OkStatus();
    });
  }

  std::vector<SourceSample> samples;
  absl::Status failure;
  std::function<void()> before_sample = [] {};
};

// "Trains" by calling a function.
class FakeTrainer final : public Trainer {
 public:
  using Body = std::function<absl::StatusOr<TrainedModel>(const TrainingJob&, std::stop_token,
                                                          TrainerListener&)>;

  explicit FakeTrainer(const std::string& id = kBuiltInTrainer)
      : identity{.id = id, .digest = std::string(64, 'f')} {}

  absl::string_view id() const override { return identity.id; }
  TrainerContract contract() const override { return identity.contract; }
  absl::StatusOr<TrainerIdentity> Identify() override {
    FIELDLOOP_RETURN_IF_ERROR(unreadable);
    return identity;
  }
  absl::StatusOr<TrainedModel> Train(const TrainingJob& job, std::stop_token stop,
                                     TrainerListener& listener) override {
    ++runs;
    last_job = job;
    return body(job, stop, listener);
  }

  TrainerIdentity identity;
  absl::Status unreadable;
  Body body = [](const TrainingJob& /*job*/, std::stop_token /*stop*/, TrainerListener& listener) {
    listener.OnLog("trained\n");
    return TrainedModel{.file = "model bytes", .metrics = {{.name = "loss", .value = 0.5}}};
  };
  int runs = 0;
  TrainingJob last_job;
};

// Runs nothing; remembers what it was to end.
class FakeRunner final : public TrainerRunner {
 public:
  absl::Status Check(const TrainerProgram& /*program*/) const override { return absl::OkStatus(); }
  absl::Status Run(const TrainerTask& /*task*/, std::stop_token /*stop*/,
                   TrainerListener& /*listener*/) override {
    return absl::UnimplementedError("FakeTrainer trains without it");
  }
  absl::Status Discard(const BuildKey& build) override {
    FIELDLOOP_RETURN_IF_ERROR(failure);
    discarded.push_back(build.number);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<BuildKey>> Kept() override { return kept; }

  absl::Status failure;
  std::vector<std::int64_t> discarded;
  std::vector<BuildKey> kept;
};

class FakeChecker final : public ModelChecker {
 public:
  absl::StatusOr<CheckedModel> Check(absl::string_view /*file*/, const ImpulseRecipe& /*recipe*/,
                                     const std::vector<std::string>& /*classes*/) override {
    FIELDLOOP_RETURN_IF_ERROR(failure);
    return CheckedModel{.arena_bytes = 1234, .metadata = ""};
  }
  absl::Status failure;
};

// Opens every file as a model for windows of SmallRecipe that takes them all for "run".
class FakeJudge final : public ModelJudge {
 public:
  absl::StatusOr<std::unique_ptr<OpenedModel>> Open(std::string /*file*/) override {
    FIELDLOOP_RETURN_IF_ERROR(failure);
    return std::make_unique<Opened>();
  }
  absl::Status failure;

 private:
  class Opened final : public OpenedModel {
   public:
    const Window& window() const override { return window_; }
    const std::vector<std::string>& classes() const override { return classes_; }
    std::int64_t cortex_m4_instructions() const override { return 5678; }
    int Classify(const float* /*window*/) override { return 0; }
    absl::Duration MeasureLatency() override { return absl::Nanoseconds(90); }

   private:
    const Window window_ = SmallRecipe().window;
    const std::vector<std::string> classes_ = {"run", "walk"};
  };
};

class RecordingObserver final : public BuildObserver {
 public:
  void OnBuildDone(const Build& build, absl::Duration /*duration*/) override {
    done.push_back(build.state);
  }
  void OnQueue(std::int64_t count, absl::Duration age, std::int64_t /*running*/) override {
    waiting = count;
    oldest_age = age;
  }
  void OnError(const absl::Status& status) override { errors.push_back(status); }

  std::vector<BuildState> done;
  std::int64_t waiting = -1;
  absl::Duration oldest_age;
  std::vector<absl::Status> errors;
};

// Lets everybody act up to `role` in "projects/motor" and in the installation.
class FakeAccess final : public Access {
 public:
  absl::StatusOr<Grant> Check(const Caller& /*caller*/, absl::string_view resource,
                              Role wanted) override {
    if (resource != "" && resource != "projects/motor" &&
        resource.substr(0, 15) != "projects/motor/") {
      return absl::NotFoundError(absl::StrCat("no project ", resource));
    }
    if (wanted > role) {
      return absl::PermissionDeniedError("not with this role");
    }
    return Grant{.principal = "apiTokens/test", .project = ""};
  }
  Role role = Role::kAdmin;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_TESTS_SERVICES_BUILD_SUPPORT_FAKES_H_
