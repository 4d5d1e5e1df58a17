// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/build_worker.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/build/domain/model.h"
#include "services/build/domain/names.h"
#include "services/build/domain/recipe.h"
#include "services/build/domain/training_set.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace fieldloop::build {
namespace {

// Shares of the whole that preparing and training end at.
constexpr double kPrepared = 0.2;
constexpr double kTrained = 0.9;

constexpr absl::Duration kReportEvery = absl::Milliseconds(500);
constexpr absl::Duration kFirstWait = absl::Seconds(5);
constexpr absl::Duration kLongestWait = absl::Seconds(60);
constexpr std::int32_t kMaxWaits = 10;
constexpr char kParentFile[] = "parent.tflite";
constexpr absl::Duration kDiscardEvery = absl::Seconds(10);

// One attempt at one build, from claim to end.
class Attempt final : public TrainerListener {
 public:
  Attempt(const BuildWorker::Parts& parts, Build build, RunningBuild& running)
      : parts_(parts), build_(std::move(build)), running_(running) {}

  // Runs all steps, and writes how it ended.
  absl::Status Run() {
    outcome_ = RunSteps();
    return outcome_.ok() ? outcome_ : Settle(outcome_);
  }

  // What became of the steps.
  const absl::Status& outcome() const { return outcome_; }

  void OnActivity(absl::string_view text) override { Report(build_.progress, text); }

  void OnEpoch(const Epoch& epoch, std::int32_t epochs) override {
    build_.epoch = epoch.epoch;
    build_.epochs = epochs;
    RecordEpoch(build_.history, epoch);
    build_.metrics.clear();
    const auto add = [this](const char* name, const std::optional<double>& value) {
      if (value.has_value()) {
        build_.metrics.push_back({.name = name, .value = *value});
      }
    };
    add("loss", epoch.loss);
    add("accuracy", epoch.accuracy);
    add("validation_loss", epoch.validation_loss);
    add("validation_accuracy", epoch.validation_accuracy);
    const double done =
        epochs > 0 ? std::min(1.0, static_cast<double>(epoch.epoch) / static_cast<double>(epochs))
                   : 0.0;
    Report(kPrepared + (kTrained - kPrepared) * done, build_.activity);
  }

  void OnCandidate(const Candidate& candidate) override {
    RecordCandidate(build_.candidates, candidate);
    Report(build_.progress, build_.activity);
  }

  void OnLog(absl::string_view text) override { running_.log.Append(text); }

 private:
  absl::Status RunSteps() {
    FIELDLOOP_ASSIGN_OR_RETURN(Trainer * trainer,
                               parts_.trainers.Find("trainer", build_.trainer_id));
    FIELDLOOP_ASSIGN_OR_RETURN(const TrainerIdentity identity, trainer->Identify());
    build_.trainer = absl::StrCat(identity.id, " sha256:", identity.digest);
    build_.trainer_digest = identity.digest;
    inputs_ = {.dataset_digest = build_.dataset_digest,
               .impulse_digest = build_.impulse_digest,
               .seed = build_.seed,
               .parent_digest = build_.parent_digest,
               .trainer_digest = build_.trainer_digest};
    const absl::StatusOr<Model> made = parts_.models.FindByInputs(build_.project, inputs_);
    if (made.ok()) {
      return FinishFromCache(*made);
    }
    if (!absl::IsNotFound(made.status())) {
      return made.status();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(
        const std::unique_ptr<WorkDirectory> work,
        parts_.work.Create(absl::StrCat(build_.project, "-", build_.number, "-", build_.attempt)));
    TrainingJob job{.project = build_.project,
                    .number = build_.number,
                    .directory = work->data_path(),
                    .out_directory = work->out_path(),
                    .scratch_directory = work->scratch_path(),
                    .recipe = {},
                    .classes = {},
                    .seed = build_.seed,
                    .parent_file = ""};
    FIELDLOOP_RETURN_IF_ERROR(Prepare(*work, job));
    FIELDLOOP_RETURN_IF_ERROR(Enter(BuildState::kTraining, kPrepared, "trains"));
    FIELDLOOP_ASSIGN_OR_RETURN(const TrainedModel trained, Train(*trainer, job));
    return Package(job, trained);
  }

  // The trainer gets the trace of this span.
  absl::StatusOr<TrainedModel> Train(Trainer& trainer, const TrainingJob& job) {
    WorkSpan work(
        "trainer", SpanKind::kInternal, CurrentCall().trace,
        {{"build", BuildName(build_.project, build_.number)}, {"trainer", build_.trainer_id}});
    absl::StatusOr<TrainedModel> trained = trainer.Train(job, running_.stop.get_token(), *this);
    work.span().Finish(trained.status());
    return trained;
  }

  absl::Status FinishFromCache(const Model& model) {
    return End([&](Build& build) {
      build.state = BuildState::kSucceeded;
      build.progress = 1;
      build.model = model.number;
      build.activity = absl::StrCat("cached: ", BuildName(model.project, model.build),
                                    " made the model from the same inputs");
    });
  }

  absl::Status Prepare(WorkDirectory& work, TrainingJob& job) {
    FIELDLOOP_ASSIGN_OR_RETURN(const ImpulseNameParts name,
                               ParseImpulseName("impulse", build_.impulse));
    FIELDLOOP_ASSIGN_OR_RETURN(const Impulse impulse,
                               parts_.impulses.Get(name.project, name.id, name.version));
    job.recipe = impulse.recipe;
    if (build_.parent_model != 0) {
      FIELDLOOP_ASSIGN_OR_RETURN(const std::string parent, parts_.blobs.Get(build_.parent_digest));
      FIELDLOOP_RETURN_IF_ERROR(work.Put(kParentFile, parent));
      job.parent_file = kParentFile;
    }
    const Window& window = impulse.recipe.window;
    FIELDLOOP_ASSIGN_OR_RETURN(
        set_, work.OpenTrainingSet(static_cast<std::size_t>(window.length) * window.axes.size()));
    FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersionInfo version,
                               parts_.datasets.GetVersion(build_.dataset_version));
    FIELDLOOP_RETURN_IF_ERROR(Enter(BuildState::kPreparing, 0, "fetches samples"));
    TrainingSetBuilder set(impulse.recipe, *set_);
    std::int64_t samples = 0;
    const absl::Status exported = parts_.datasets.Export(
        build_.dataset_version, running_.stop.get_token(),
        [&](const SourceSample& sample) -> absl::Status {
          if (running_.stop.stop_requested()) {
            return absl::CancelledError("stopped");
          }
          FIELDLOOP_RETURN_IF_ERROR(set.Add(sample));
          ++samples;
          const double all = static_cast<double>(std::max(version.sample_count, samples));
          Report(kPrepared * static_cast<double>(samples) / all,
                 absl::StrCat("prepares sample ", samples, " of ", version.sample_count));
          return absl::OkStatus();
        });
    FIELDLOOP_RETURN_IF_ERROR(exported);
    FIELDLOOP_ASSIGN_OR_RETURN(TrainingSetSummary summary, set.Finish(build_.dataset_digest));
    running_.log.Append(absl::StrCat("prepared ", samples, " samples: ", summary.training_windows,
                                     " training windows, ", summary.testing_windows,
                                     " testing windows, classes ",
                                     absl::StrJoin(summary.classes, ", "), "\n"));
    job.classes = std::move(summary.classes);
    return absl::OkStatus();
  }

  absl::Status Package(const TrainingJob& job, const TrainedModel& trained) {
    FIELDLOOP_RETURN_IF_ERROR(Enter(BuildState::kPackaging, kTrained, "checks the model"));
    if (static_cast<std::int64_t>(trained.file.size()) > kMaxModelBytes) {
      return absl::AbortedError(absl::StrCat("the model has ", trained.file.size(),
                                             " bytes, devices take at most ", kMaxModelBytes));
    }
    const absl::StatusOr<CheckedModel> checked =
        parts_.checker.Check(trained.file, job.recipe, job.classes);
    if (!checked.ok()) {
      return absl::AbortedError(
          absl::StrCat("the trainer's model is refused: ", checked.status().message()));
    }
    FIELDLOOP_RETURN_IF_ERROR(
        Enter(BuildState::kPackaging, kTrained, "runs the model over the testing windows"));
    FIELDLOOP_ASSIGN_OR_RETURN(
        ModelFigures figures,
        JudgeModel(parts_.judge, trained.file, job.classes, *set_, running_.stop.get_token()));
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo blob, parts_.blobs.Put(trained.file));
    Model model;
    model.project = build_.project;
    model.digest = blob.digest;
    model.size_bytes = blob.size_bytes;
    model.arena_bytes = checked->arena_bytes;
    model.build = build_.number;
    model.dataset_version = build_.dataset_version;
    model.impulse = build_.impulse;
    model.parent_model = build_.parent_model;
    model.classes = job.classes;
    model.trainer_metrics = trained.metrics;
    model.metadata = checked->metadata;
    model.metrics = std::move(figures.metrics);
    model.cortex_m4_instructions = figures.cortex_m4_instructions;
    model.host_inference_nanos = figures.host_inference_nanos;
    model.trainer = build_.trainer;
    model.inputs = inputs_;
    model.create_time = parts_.clock.Now();
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string log, StoreLog());
    std::optional<Build> ended;
    const absl::StatusOr<Model> stored = parts_.builds.FinishWithModel(
        build_.project, build_.number, model, [&](Build& build) -> absl::Status {
          FIELDLOOP_RETURN_IF_ERROR(CheckHeld(build));
          CopyProgress(build);
          build.state = BuildState::kSucceeded;
          build.progress = 1;
          build.activity = "done";
          SealBuild(build, log);
          ended = build;
          return absl::OkStatus();
        });
    FIELDLOOP_RETURN_IF_ERROR(stored.status());
    Announce(*ended);
    return absl::OkStatus();
  }

  // Writes how an attempt ended that did not succeed.
  absl::Status Settle(const absl::Status& status) {
    if (lost_) {
      return KeepLogOfCancelled();
    }
    if (running_.stop.stop_requested()) {
      const absl::Status requeued = Change([](Build& build) {
        RequeueBuild(build, "waits: the service was stopped", absl::UnixEpoch());
      });
      return lost_ ? KeepLogOfCancelled() : requeued;
    }
    if (absl::IsUnavailable(status) && build_.waits < kMaxWaits) {
      const absl::Duration wait =
          std::min(kLongestWait, kFirstWait * static_cast<double>(1 << build_.waits));
      const absl::Time retry = parts_.clock.Now() + wait;
      const absl::Status requeued = Change([&](Build& build) {
        RequeueBuild(build, absl::StrCat("waits: ", status.message()), retry);
        ++build.waits;
      });
      return lost_ ? KeepLogOfCancelled() : requeued;
    }
    std::string sentence(status.message());
    if (absl::IsInternal(status) || absl::IsUnknown(status)) {
      parts_.observer.OnError(status);
      sentence = "an internal error; the service's log tells more";
    }
    const absl::Time now = parts_.clock.Now();
    const absl::Status ended = End([&](Build& build) { FailBuild(build, sentence, now); });
    return lost_ ? KeepLogOfCancelled() : ended;
  }

  // FAILED_PRECONDITION, and remembers it, if the build is no longer this attempt's.
  absl::Status CheckHeld(const Build& build) {
    if (!HoldsBuild(build, build_.owner, build_.attempt)) {
      lost_ = true;
      return absl::FailedPreconditionError("the build was cancelled or taken over");
    }
    return absl::OkStatus();
  }

  void CopyProgress(Build& build) const {
    build.state = build_.state;
    build.progress = build_.progress;
    build.activity = build_.activity;
    build.epoch = build_.epoch;
    build.epochs = build_.epochs;
    build.metrics = build_.metrics;
    build.history = build_.history;
    build.candidates = build_.candidates;
    build.trainer = build_.trainer;
    build.trainer_digest = build_.trainer_digest;
  }

  void SealBuild(Build& build, const std::string& log) const {
    build.end_time = parts_.clock.Now();
    build.log_digest = log;
    build.owner.clear();
    build.lease_until = absl::UnixEpoch();
  }

  // Stores the log so far; "" when there is none.
  absl::StatusOr<std::string> StoreLog() {
    const std::string text = running_.log.Text();
    if (text.empty()) {
      return std::string();
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const BlobInfo blob, parts_.blobs.Put(text));
    return blob.digest;
  }

  // Alters the build in the store if it is still ours.
  template <typename Alter>
  absl::Status Change(Alter alter) {
    const absl::StatusOr<Build> stored =
        parts_.builds.Update(build_.project, build_.number, [&](Build& build) -> absl::Status {
          FIELDLOOP_RETURN_IF_ERROR(CheckHeld(build));
          CopyProgress(build);
          alter(build);
          return absl::OkStatus();
        });
    FIELDLOOP_RETURN_IF_ERROR(stored.status());
    parts_.changes.Notify();
    last_ = *stored;
    return absl::OkStatus();
  }

  // The same for its end, with the log.
  template <typename Alter>
  absl::Status End(Alter alter) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string log, StoreLog());
    FIELDLOOP_RETURN_IF_ERROR(Change([&](Build& build) {
      alter(build);
      SealBuild(build, log);
    }));
    Announce(*last_);
    return absl::OkStatus();
  }

  void Announce(const Build& build) {
    parts_.changes.Notify();
    parts_.observer.OnBuildDone(build, build.end_time - build.start_time);
    DiscardRun();
  }

  // Ends what may still run for a build that is done. Beat tries again what does not succeed.
  void DiscardRun() {
    const BuildKey key{.project = build_.project, .number = build_.number};
    if (const absl::Status status = parts_.runner.Discard(key); !status.ok()) {
      parts_.observer.OnError(status);
    }
  }

  // What the trainer printed until it was cancelled is worth keeping.
  absl::Status KeepLogOfCancelled() {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::string log, StoreLog());
    const absl::StatusOr<Build> stored =
        parts_.builds.Update(build_.project, build_.number, [&](Build& build) {
          if (build.state == BuildState::kCancelled && build.attempt == build_.attempt) {
            build.log_digest = log;
          }
          return absl::OkStatus();
        });
    if (stored.ok() && IsDone(stored->state)) {
      DiscardRun();
    }
    return stored.status();
  }

  absl::Status Enter(BuildState state, double progress, absl::string_view activity) {
    if (running_.stop.stop_requested()) {
      return absl::CancelledError("stopped");
    }
    build_.state = state;
    build_.progress = std::max(build_.progress, progress);
    build_.activity = std::string(activity);
    reported_ = parts_.clock.Now();
    return Change([](Build&) {});
  }

  // Shows progress, not more often than people can read. What cannot be stored now is stored with
  // the next change; a build that is no longer ours is stopped.
  void Report(double progress, absl::string_view activity) {
    build_.progress = std::max(build_.progress, progress);
    build_.activity = std::string(activity);
    const absl::Time now = parts_.clock.Now();
    if (now - reported_ < kReportEvery || lost_) {
      return;
    }
    reported_ = now;
    if (const absl::Status status = Change([](Build&) {}); !status.ok() && lost_) {
      running_.stop.request_stop();
    }
  }

  const BuildWorker::Parts& parts_;
  Build build_;  // As this attempt sees it.
  RunningBuild& running_;
  ModelInputs inputs_;
  std::unique_ptr<TrainingSetWriter> set_;
  std::optional<Build> last_;  // As stored last.
  absl::Status outcome_;
  bool lost_ = false;
  absl::Time reported_ = absl::InfinitePast();
};

}  // namespace

BuildWorker::BuildWorker(const Parts& parts, std::string owner, absl::Duration lease)
    : parts_(parts), owner_(std::move(owner)), lease_(lease) {}

absl::StatusOr<bool> BuildWorker::RunOne() {
  const absl::Time now = parts_.clock.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::optional<Build> build,
      parts_.builds.Claim(now, [&](Build& change) { ClaimBuild(change, owner_, now, lease_); }));
  if (!build.has_value()) {
    return false;
  }
  parts_.changes.Notify();
  if (IsDone(build->state)) {
    parts_.observer.OnBuildDone(*build, absl::ZeroDuration());
    return true;
  }
  WorkSpan work("build", SpanKind::kConsumer, TraceOf(build->traceparent),
                {{"build", BuildName(build->project, build->number)}});
  work.span().Set("fieldloop.attempt", std::int64_t{build->attempt});
  const std::shared_ptr<RunningBuild> running = parts_.running.Add(*build);
  Attempt attempt(parts_, *build, *running);
  const absl::Status status = attempt.Run();
  work.span().Finish(attempt.outcome());
  FIELDLOOP_RETURN_IF_ERROR(status);
  return true;
}

absl::Status BuildWorker::RequeueHeld() {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Build> held, parts_.builds.ListHeld(owner_));
  for (const Build& left : held) {
    const absl::StatusOr<Build> stored =
        parts_.builds.Update(left.project, left.number, [&](Build& build) {
          if (HoldsBuild(build, owner_, left.attempt)) {
            ++build.interruptions;
            RequeueBuild(build, "waits: the service ended while it worked on it",
                         absl::UnixEpoch());
          }
          return absl::OkStatus();
        });
    FIELDLOOP_RETURN_IF_ERROR(stored.status());
  }
  return absl::OkStatus();
}

absl::Status BuildWorker::Renew(RunningBuild& running) {
  const absl::Time now = parts_.clock.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(const Build build, parts_.builds.Get(running.project, running.number));
  if (!HoldsBuild(build, owner_, running.attempt)) {
    running.stop.request_stop();
    return absl::OkStatus();
  }
  if (build.lease_until - now > lease_ * 2 / 3) {
    return absl::OkStatus();
  }
  const absl::StatusOr<Build> stored =
      parts_.builds.Update(running.project, running.number, [&](Build& change) {
        if (HoldsBuild(change, owner_, running.attempt)) {
          change.lease_until = now + lease_;
        }
        return absl::OkStatus();
      });
  return stored.status();
}

absl::Status BuildWorker::DiscardLeftRuns() {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<BuildKey> kept, parts_.runner.Kept());
  absl::Status first_error;
  for (const BuildKey& key : kept) {
    const absl::StatusOr<Build> build = parts_.builds.Get(key.project, key.number);
    if (build.ok() ? IsDone(build->state) : absl::IsNotFound(build.status())) {
      first_error.Update(parts_.runner.Discard(key));
    } else {
      first_error.Update(build.status());
    }
  }
  return first_error;
}

absl::Status BuildWorker::Beat() {
  absl::Status first_error;
  const std::vector<std::shared_ptr<RunningBuild>> all = parts_.running.All();
  for (const std::shared_ptr<RunningBuild>& running : all) {
    first_error.Update(Renew(*running));
  }
  const absl::Time now = parts_.clock.Now();
  if (now >= discard_after_) {
    discard_after_ = now + kDiscardEvery;
    first_error.Update(DiscardLeftRuns());
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const QueueState queue, parts_.builds.Queue());
  parts_.observer.OnQueue(queue.waiting,
                          queue.oldest.has_value() ? now - *queue.oldest : absl::ZeroDuration(),
                          static_cast<std::int64_t>(all.size()));
  return first_error;
}

}  // namespace fieldloop::build
