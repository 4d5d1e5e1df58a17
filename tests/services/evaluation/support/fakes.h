// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_TESTS_SERVICES_EVALUATION_SUPPORT_FAKES_H_
#define FIELDLOOP_TESTS_SERVICES_EVALUATION_SUPPORT_FAKES_H_

#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/status/error_reason.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/evaluation_service.h"
#include "services/evaluation/domain/neighbours.h"
#include "services/evaluation/domain/suggestions.h"

namespace fieldloop::evaluation {
inline void PrintTo(CycleState state, std::ostream* os) { *os << CycleStateName(state); }
}  // namespace fieldloop::evaluation

namespace fieldloop::evaluation::testing {

// The build service, as far as this one sees it. Deduplicates by request id like the real one.
class FakeRegistry final : public ModelRegistry {
 public:
  absl::Status down;  // When not OK, every call fails with it.
  std::map<std::string, Model> models;
  std::string champion;
  BuildStatus::State build_state = BuildStatus::State::kSucceeded;
  bool sign_at_once = true;
  std::vector<std::string> builds;  // Dataset versions, by build number - 1.
  std::vector<std::string> cancelled_builds;
  std::vector<std::string> releases;  // Models, by sequence - 1.
  std::vector<std::string> alias_changes;

  void AddModel(int number, const std::string& digest) {
    Model model;
    model.name = absl::StrCat("projects/x/models/", number);
    model.digest = digest;
    model.classes = {"SITTING", "WALKING"};
    model.reference_id = 7;
    model.channels = {{.name = "confidence", .bins = 4}, {.name = "novelty", .bins = 4}};
    model.confidence_channel = 0;
    model.bin_accuracy = {0.4, 0.6, 0.8, 1.0};
    model.window_length = 4;
    model.window_stride = 2;
    model.frequency_hz = 10;
    model.axes = {"x", "y"};
    models[model.name] = model;
  }

  absl::StatusOr<Model> GetModel(const std::string& name) override {
    if (!down.ok()) {
      return down;
    }
    const std::string resolved = name == "projects/x/models/champion" ? champion : name;
    const auto found = models.find(resolved);
    return found == models.end() ? absl::StatusOr<Model>(absl::NotFoundError(name))
                                 : absl::StatusOr<Model>(found->second);
  }
  absl::StatusOr<Model> FindModel(const std::string& project, const std::string& digest) override {
    if (!down.ok()) {
      return down;
    }
    for (const auto& [name, model] : models) {
      if (model.digest == digest && name.rfind(project + "/", 0) == 0) {
        return model;
      }
    }
    return absl::NotFoundError(digest);
  }
  absl::StatusOr<std::string> DownloadModel(const std::string& name) override {
    return down.ok() ? absl::StatusOr<std::string>(name) : down;
  }
  absl::StatusOr<std::string> CreateBuild(const std::string& project,
                                          const std::string& dataset_version,
                                          const std::string& /*impulse*/, std::uint32_t /*seed*/,
                                          const std::string& request_id) override {
    if (!down.ok()) {
      return down;
    }
    const auto [entry, fresh] =
        made_.try_emplace(request_id, absl::StrCat(project, "/builds/", builds.size() + 1));
    if (fresh) {
      builds.push_back(dataset_version);
      AddModel(2, "candidate");
    }
    return entry->second;
  }
  absl::StatusOr<BuildStatus> GetBuild(const std::string& /*name*/) override {
    if (!down.ok()) {
      return down;
    }
    BuildStatus status;
    status.state = build_state;
    status.activity = "epoch 3 of 60";
    status.progress = 0.5;
    if (build_state == BuildStatus::State::kSucceeded) {
      status.model = "projects/x/models/2";
    } else if (build_state == BuildStatus::State::kFailed) {
      status.error = "the trainer ran out of memory";
    }
    return status;
  }
  absl::Status CancelBuild(const std::string& name) override {
    if (down.ok()) {
      cancelled_builds.push_back(name);
    }
    return down;
  }
  absl::StatusOr<ReleaseStatus> CreateRelease(const std::string& project, const std::string& model,
                                              const std::vector<std::string>& /*hardware_ids*/,
                                              const std::string& request_id) override {
    if (!down.ok()) {
      return down;
    }
    const auto [entry, fresh] =
        made_.try_emplace(request_id, absl::StrCat(project, "/releases/", releases.size() + 1));
    if (fresh) {
      releases.push_back(model);
    }
    return ReleaseStatus{.name = entry->second, .is_signed = sign_at_once};
  }
  absl::StatusOr<ReleaseStatus> GetRelease(const std::string& name) override {
    return down.ok() ? absl::StatusOr<ReleaseStatus>(
                           ReleaseStatus{.name = name, .is_signed = sign_at_once})
                     : down;
  }
  absl::Status SetAlias(const std::string& /*project*/, const std::string& /*alias*/,
                        const std::string& model, const std::string& /*reason*/) override {
    if (down.ok() && champion != model) {
      champion = model;
      alias_changes.push_back(model);
    }
    return down;
  }

 private:
  std::map<std::string, std::string> made_;  // Names, by request id.
};

// The ingestion service.
class FakeArchive final : public SampleArchive {
 public:
  absl::Status down;
  SampleCounts counts;
  bool dataset_there = false;
  int versions = 0;
  std::vector<TestingSample> testing;

  absl::StatusOr<SampleCounts> CountLabelled(const std::string& /*project*/, bool /*devices_only*/,
                                             bool /*testing_only*/,
                                             absl::Time /*created_after*/) override {
    return down.ok() ? absl::StatusOr<SampleCounts>(counts) : down;
  }
  absl::Status EnsureDataset(const std::string& /*dataset*/) override {
    dataset_there = dataset_there || down.ok();
    return down;
  }
  absl::StatusOr<std::string> CreateDatasetVersion(const std::string& dataset) override {
    if (!down.ok()) {
      return down;
    }
    versions = 1;  // The same content is the same version.
    return absl::StrCat(dataset, "/versions/1");
  }
  absl::Status ForEachTestingSample(
      const std::string& /*dataset_version*/,
      absl::FunctionRef<absl::Status(const TestingSample& sample, double share)> sink) override {
    for (std::size_t i = 0; i < testing.size(); ++i) {
      const absl::Status status =
          sink(testing[i], static_cast<double>(i + 1) / static_cast<double>(testing.size()));
      if (!status.ok()) {
        return status;
      }
    }
    return down;
  }
};

// The distribution service.
class FakeFleet final : public Fleet {
 public:
  absl::Status down;
  std::optional<Collection> collection;
  int collections_opened = 0;
  std::string another_rollout;  // When not empty: one that is not ours runs.
  std::vector<RolloutStatus::State> states = {RolloutStatus::State::kCompleted,
                                              RolloutStatus::State::kCompleted};
  std::vector<std::string> rollouts;  // Releases, by number - 1.
  std::vector<RolloutPolicy> plans;
  std::vector<std::string> cancelled_rollouts;

  absl::Status OpenCollection(const std::string& /*project*/, const Collection& wanted) override {
    if (down.ok() && collection != wanted) {
      collection = wanted;
      ++collections_opened;
    }
    return down;
  }
  absl::Status CloseCollection(const std::string& /*project*/, const Collection& wanted) override {
    if (down.ok() && collection == wanted) {
      collection.reset();
    }
    return down;
  }
  absl::StatusOr<std::string> CreateRollout(const std::string& project, const std::string& release,
                                            const RolloutPolicy& plan,
                                            const std::string& request_id) override {
    if (!down.ok()) {
      return down;
    }
    const auto found = made_.find(request_id);
    if (found != made_.end()) {
      return found->second;
    }
    if (!another_rollout.empty()) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "ROLLOUT_ACTIVE",
                             absl::StrCat(another_rollout, " is not done"));
    }
    rollouts.push_back(release);
    plans.push_back(plan);
    return made_[request_id] = absl::StrCat(project, "/rollouts/", rollouts.size());
  }
  absl::StatusOr<RolloutStatus> GetRollout(const std::string& name) override {
    if (!down.ok()) {
      return down;
    }
    RolloutStatus status;
    status.state = states[std::stoul(name.substr(name.rfind('/') + 1)) - 1];
    status.reason = "3 of 24 devices failed";
    status.target_count = 24;
    status.confirmed_count = 21;
    status.failed_count = 3;
    return status;
  }
  absl::Status CancelRollout(const std::string& name, const std::string& /*reason*/) override {
    if (down.ok()) {
      cancelled_rollouts.push_back(name);
    }
    return down;
  }

 private:
  std::map<std::string, std::string> made_;
};

// Says that it made seven suggestions.
class FakeSuggester final : public LabelSuggester {
 public:
  std::string model;
  int max_samples = 0;

  absl::StatusOr<SuggestionCounts> Suggest(const std::string& /*project*/,
                                           const std::string& asked_model, int most) override {
    model = asked_model;
    max_samples = most;
    return SuggestionCounts{.suggested = 7, .unreadable = 2};
  }
};

// Says that the model is right in `right` of ten windows, and the baseline in `baseline_right`.
class FakeJudge final : public WindowJudge {
 public:
  absl::Status fails;
  int right = 9;
  int baseline_right = 4;

  absl::StatusOr<Judgement> Judge(const Evaluation& /*evaluation*/,
                                  const std::function<absl::Status(double)>& progress) override {
    if (!fails.ok()) {
      return fails;
    }
    if (const absl::Status status = progress(0.5); !status.ok()) {
      return status;
    }
    Judgement judgement;
    judgement.classes = {"SITTING", "WALKING"};
    for (int g = 0; g < 6; ++g) {
      JudgedSample sample;
      sample.group = absl::StrCat("device ", g);
      sample.slices = {"source=device"};
      for (int i = 0; i < 10; ++i) {
        sample.windows.push_back({.label = "SITTING",
                                  .predicted = i < right ? 0 : 1,
                                  .baseline_class = i < baseline_right ? "SITTING" : "WALKING"});
      }
      judgement.samples.push_back(std::move(sample));
    }
    return judgement;
  }
};

}  // namespace fieldloop::evaluation::testing

#endif  // FIELDLOOP_TESTS_SERVICES_EVALUATION_SUPPORT_FAKES_H_
