// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/job_runner.h"

#include <chrono>
#include <fstream>
#include <ios>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "services/build/transport/job_state.h"
#include "services/build/transport/run_spec.h"
#include "services/build/transport/trainer_events.h"
#include "services/build/transport/trainer_program.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

constexpr int kOk = 200;
constexpr int kCreated = 201;
constexpr int kForbidden = 403;
constexpr int kNotFound = 404;
constexpr int kConflict = 409;
constexpr absl::Duration kLook = absl::Milliseconds(50);
constexpr std::chrono::seconds kLookAtPod{2};
constexpr std::chrono::seconds kPause{1};
// A watch ends by itself then and is begun again, so that nothing waits for one that hangs.
constexpr int kWatchSeconds = 240;
// How often a Job that was made for another run is looked at until it is gone.
constexpr int kMostConflicts = 40;
constexpr std::chrono::seconds kLogTime{30};
constexpr char kBatch[] = "/apis/batch/v1";
constexpr char kCore[] = "/api/v1";

absl::StatusOr<Json> ObjectOf(const KubernetesAnswer& answer) {
  Json object = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return absl::UnavailableError(
        absl::StrCat("Kubernetes answered something that is no JSON: ", answer.body.substr(0, 80)));
  }
  return object;
}

// An answer that is an error, with a sentence for people.
absl::Status Refused(absl::string_view what, const KubernetesAnswer& answer) {
  const std::string sentence =
      absl::StrCat("Kubernetes refuses to ", what, ": ", KubernetesMessage(answer));
  // A quota is free again when something else has ended.
  if (answer.status == kForbidden && absl::StrContains(sentence, "exceeded quota")) {
    return absl::UnavailableError(sentence);
  }
  return absl::AbortedError(sentence);
}

}  // namespace

// Follows one Job to its end: its state by a watch, its pod's by looking, its log by a stream.
class JobRunner::Follower {
 public:
  Follower(JobRunner& runner, const TrainerTask& task, std::string name, TrainerListener& listener)
      : runner_(runner),
        task_(task),
        name_(std::move(name)),
        listener_(listener),
        events_(listener) {}

  // OK once the Job is over or gone. CANCELLED when `stop` was requested; UNAVAILABLE when it
  // cannot be followed.
  absl::Status Follow(const std::stop_token& stop) {
    while (!state_.over() && !gone_) {
      if (stop.stop_requested()) {
        return absl::CancelledError("stopped");
      }
      FIELDLOOP_RETURN_IF_ERROR(Watch());
      FIELDLOOP_RETURN_IF_ERROR(LookAtPod());
      ReadLog();
    }
    // The pod's last words, and what the log has beyond what was read.
    looked_ = {};
    FIELDLOOP_RETURN_IF_ERROR(LookAtPod());
    const SteadyClock::time_point deadline = SteadyClock::now() + kLogTime;
    while (pod_.has_started && !log_ended_ && SteadyClock::now() < deadline &&
           !stop.stop_requested()) {
      ReadLog();
    }
    events_.Finish();
    return absl::OkStatus();
  }

  bool gone() const { return gone_; }
  const JobState& state() const { return state_; }
  const PodState& pod() const { return pod_; }
  std::string error_event() const { return events_.error(); }

 private:
  std::string Selector() const { return absl::StrCat("?fieldSelector=metadata.name%3D", name_); }

  absl::Status List() {
    FIELDLOOP_ASSIGN_OR_RETURN(
        const KubernetesAnswer answer,
        runner_.client_.Send("GET", runner_.Path(kBatch, "jobs") + Selector()));
    if (answer.status != kOk) {
      return Refused("list Jobs", answer);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const Json list, ObjectOf(answer));
    version_ = list.value(Json::json_pointer("/metadata/resourceVersion"), std::string());
    const Json items = list.value("items", Json::array());
    gone_ = items.empty();
    if (!gone_) {
      state_ = StateOfJob(items[0]);
    }
    return absl::OkStatus();
  }

  // Takes what a watch tells; begins one from the version that was seen last, or with a list.
  absl::Status Watch() {
    if (watch_ == nullptr) {
      if (SteadyClock::now() < watch_after_) {
        runner_.client_.Wait(kLook);
        return absl::OkStatus();
      }
      watch_after_ = SteadyClock::now() + kPause;
      if (version_.empty()) {
        FIELDLOOP_RETURN_IF_ERROR(List());
        if (gone_ || state_.over()) {
          return absl::OkStatus();
        }
      }
      FIELDLOOP_ASSIGN_OR_RETURN(
          watch_, runner_.client_.Open(absl::StrCat(
                      runner_.Path(kBatch, "jobs"), Selector(), "&watch=true&resourceVersion=",
                      version_, "&allowWatchBookmarks=true&timeoutSeconds=", kWatchSeconds)));
      events_text_.clear();
    }
    const bool open = watch_->Pump(kLook, [this](absl::string_view piece) {
      events_text_.append(piece.data(), piece.size());
    });
    const bool is_refused = watch_->status() != 0 && watch_->status() != kOk;
    while (!is_refused) {
      const std::size_t end = events_text_.find('\n');
      if (end == std::string::npos) {
        break;
      }
      TakeEvent(events_text_.substr(0, end));
      events_text_.erase(0, end + 1);
    }
    if (!open) {
      if (watch_->status() == kForbidden) {
        return Refused("watch Jobs", {.status = kForbidden, .body = events_text_});
      }
      if (is_refused) {
        // 410 Gone, that the version is too old, or an error: what is true now is listed, which
        // also says why if the API refuses for good.
        version_.clear();
      }
      watch_.reset();
    } else if (version_.empty()) {
      watch_.reset();  // An event said that the watch cannot go on.
    }
    return absl::OkStatus();
  }

  void TakeEvent(const std::string& line) {
    const Json event = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object() || !event.contains("object")) {
      return;
    }
    const Json& object = event["object"];
    const std::string type = event.value("type", "");
    if (type == "ERROR") {
      version_.clear();
      return;
    }
    version_ = object.value(Json::json_pointer("/metadata/resourceVersion"), version_);
    if (type == "DELETED") {
      gone_ = true;
    } else if (type == "ADDED" || type == "MODIFIED") {
      state_ = StateOfJob(object);
      looked_ = {};
    }
  }

  absl::Status LookAtPod() {
    const bool follows_log = log_ != nullptr;
    if (follows_log || SteadyClock::now() - looked_ < kLookAtPod) {
      return absl::OkStatus();
    }
    looked_ = SteadyClock::now();
    FIELDLOOP_ASSIGN_OR_RETURN(
        const KubernetesAnswer answer,
        runner_.client_.Send(
            "GET", absl::StrCat(runner_.Path(kCore, "pods"),
                                "?labelSelector=batch.kubernetes.io%2Fjob-name%3D", name_)));
    if (answer.status != kOk) {
      return Refused("list pods", answer);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const Json pods, ObjectOf(answer));
    PodState pod = StateOfPod(pods);
    if (pod.name.empty() && !pod_.name.empty()) {
      return absl::OkStatus();  // It is gone; what was seen of it still tells why.
    }
    const bool waits = !pod.has_started && (pod.message != pod_.message || !told_that_it_waits_);
    if (waits && !state_.over()) {
      told_that_it_waits_ = true;
      listener_.OnActivity(
          absl::StrCat("waits for its pod", pod.message.empty() ? "" : ": ", pod.message));
    } else if (pod.has_started && !pod_.has_started) {
      listener_.OnActivity("trains");
    }
    pod_ = std::move(pod);
    return absl::OkStatus();
  }

  // Gives on what the log has; ends it when it is at its end and the pod is, too.
  void ReadLog() {
    if (!pod_.has_started || log_ended_) {
      return;
    }
    if (log_ == nullptr) {
      if (SteadyClock::now() < log_after_) {
        runner_.client_.Wait(kLook);
        return;
      }
      std::string path = absl::StrCat(runner_.Path(kCore, "pods", pod_.name),
                                      "/log?container=trainer&timestamps=true&follow=true");
      if (!lines_.last().empty()) {
        absl::StrAppend(&path, "&sinceTime=", absl::StrReplaceAll(lines_.last(), {{"+", "%2B"}}));
        lines_.Reopen();
      }
      absl::StatusOr<std::unique_ptr<KubernetesStream>> log = runner_.client_.Open(path);
      log_after_ = SteadyClock::now() + kPause;
      if (!log.ok()) {
        return;
      }
      log_ = *std::move(log);
      knew_end_ = pod_.has_ended || state_.over();
    }
    std::string refusal;
    const bool open = log_->Pump(kLook, [&](absl::string_view piece) {
      if (log_->status() == kOk) {
        events_.Take(lines_.Take(piece));
      } else {
        refusal.append(piece.data(), piece.size());
      }
    });
    if (open) {
      return;
    }
    const int status = log_->status();
    const bool whole = status == kOk && log_->lost().ok();
    log_.reset();
    looked_ = {};
    // One that was opened before the pod ended may have been cut; only one behind its end is whole.
    if (whole && knew_end_) {
      log_ended_ = true;
    } else if (status == kForbidden || status == kNotFound) {
      log_ended_ = true;
      listener_.OnLog(absl::StrCat("note: the log of the pod cannot be read: ",
                                   KubernetesMessage({.status = status, .body = refusal}), "\n"));
    } else if (whole) {
      log_after_ = {};
    }
  }

  JobRunner& runner_;
  const TrainerTask& task_;
  const std::string name_;
  TrainerListener& listener_;
  TrainerEvents events_;

  JobState state_;
  PodState pod_;
  bool gone_ = false;
  std::string version_;  // Empty: to be listed.
  std::unique_ptr<KubernetesStream> watch_;
  std::string events_text_;
  SteadyClock::time_point watch_after_{};
  SteadyClock::time_point looked_{};
  bool told_that_it_waits_ = false;
  std::unique_ptr<KubernetesStream> log_;
  StampedLines lines_;
  bool knew_end_ = false;
  bool log_ended_ = false;
  SteadyClock::time_point log_after_{};
};

JobRunner::JobRunner(JobConfig config, std::string ca_pem, TrainerRuns& runs,
                     KubernetesClient& client)
    : config_(std::move(config)), ca_pem_(std::move(ca_pem)), runs_(runs), client_(client) {}

absl::Status JobRunner::Check(const TrainerProgram& program) const {
  if (program.image.empty() && program.id != kBuiltInTrainer) {
    return absl::InvalidArgumentError(
        absl::StrCat("the trainer ", program.id,
                     " has no image: want the image that holds it, by digest, for with --jobs it "
                     "runs in a pod of its own (docs/trainers.md)"));
  }
  return absl::OkStatus();
}

std::string JobRunner::Path(absl::string_view group, absl::string_view resource,
                            absl::string_view name) const {
  return absl::StrCat(group, "/namespaces/", config_.name_space, "/", resource,
                      name.empty() ? "" : "/", name);
}

absl::Status JobRunner::Run(const TrainerTask& task, std::stop_token stop,
                            TrainerListener& listener) {
  FIELDLOOP_RETURN_IF_ERROR(Check(task.program));
  const BuildKey key{.project = task.project, .number = task.number};
  std::string digest;
  if (task.program.image.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(digest, DigestOf(task.program));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(TrainerRun run,
                             runs_.Begin(key, LongestRun(config_, task),
                                         [&](absl::string_view id, TrainerRuns::Sink sink) {
                                           return WriteRunInputs(task, digest, id, sink);
                                         }));
  const std::string name = JobName(config_, key);
  if (!run.finished) {
    FIELDLOOP_RETURN_IF_ERROR(FindOrMake(task, run, stop).status());
    Follower follower(*this, task, name, listener);
    FIELDLOOP_RETURN_IF_ERROR(follower.Follow(stop));
    const absl::StatusOr<TrainerRun> now = runs_.Get(key);
    if (absl::IsNotFound(now.status()) || (now.ok() && now->id != run.id)) {
      return absl::CancelledError("the run was discarded, or begun anew by another process");
    }
    FIELDLOOP_RETURN_IF_ERROR(now.status());
    run = *now;
    if (!run.finished) {
      absl::Status failure =
          follower.gone()
              ? absl::UnavailableError(absl::StrCat("somebody deleted the Job ", name))
              : FailureOf(config_, task.program.limits, follower.state(), follower.pod());
      if (absl::IsUnavailable(failure)) {
        FIELDLOOP_RETURN_IF_ERROR(Discard(key));
      }
      return failure;
    }
  }
  const absl::Status end(run.code, run.message);
  if (absl::IsUnavailable(end)) {
    FIELDLOOP_RETURN_IF_ERROR(Discard(key));
  }
  FIELDLOOP_RETURN_IF_ERROR(end);
  return Take(task, run);
}

absl::StatusOr<Json> JobRunner::FindOrMake(const TrainerTask& task, const TrainerRun& run,
                                           const std::stop_token& stop) {
  const std::string name = JobName(config_, {.project = run.project, .number = run.number});
  const std::string body = JobManifest(config_, task, run).dump();
  for (int conflicts = 0; conflicts < kMostConflicts && !stop.stop_requested(); ++conflicts) {
    FIELDLOOP_ASSIGN_OR_RETURN(const KubernetesAnswer made,
                               client_.Send("POST", Path(kBatch, "jobs"), body));
    if (made.status == kCreated || made.status == kOk) {
      FIELDLOOP_ASSIGN_OR_RETURN(Json job, ObjectOf(made));
      FIELDLOOP_RETURN_IF_ERROR(MakeSecret(job, run));
      return job;
    }
    if (made.status != kConflict) {
      return Refused(absl::StrCat("make the Job ", name), made);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(const KubernetesAnswer found,
                               client_.Send("GET", Path(kBatch, "jobs", name)));
    if (found.status == kNotFound) {
      continue;
    }
    if (found.status != kOk) {
      return Refused(absl::StrCat("read the Job ", name), found);
    }
    FIELDLOOP_ASSIGN_OR_RETURN(Json job, ObjectOf(found));
    const bool goes = job.contains(Json::json_pointer("/metadata/deletionTimestamp"));
    if (!goes && RunOfJob(job) == run.id) {
      // Whoever made it may have ended before it made the secret.
      FIELDLOOP_RETURN_IF_ERROR(MakeSecret(job, run));
      return job;
    }
    if (!goes) {
      FIELDLOOP_RETURN_IF_ERROR(DeleteJob(name));
    }
    client_.Wait(absl::Milliseconds(250));
  }
  return stop.stop_requested()
             ? absl::CancelledError("stopped")
             : absl::UnavailableError(absl::StrCat(
                   "the Job ", name, " of another run is still there though it was deleted"));
}

absl::Status JobRunner::MakeSecret(const Json& job, const TrainerRun& run) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      const KubernetesAnswer made,
      client_.Send("POST", Path(kCore, "secrets"), SecretManifest(job, run, ca_pem_).dump()));
  if (made.status != kCreated && made.status != kOk && made.status != kConflict) {
    return Refused("make the secret of a Job", made);
  }
  return absl::OkStatus();
}

absl::Status JobRunner::DeleteJob(const std::string& name) {
  FIELDLOOP_ASSIGN_OR_RETURN(
      const KubernetesAnswer answer,
      client_.Send(
          "DELETE", Path(kBatch, "jobs", name),
          R"({"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"})"));
  if (answer.status >= 300 && answer.status != kNotFound) {
    return Refused(absl::StrCat("delete the Job ", name), answer);
  }
  return absl::OkStatus();
}

absl::Status JobRunner::Take(const TrainerTask& task, const TrainerRun& run) {
  FIELDLOOP_ASSIGN_OR_RETURN(const auto files, runs_.Outputs(run));
  for (const TrainerOutput& output : task.outputs) {
    const auto file = files.find(output.name);
    if (file == files.end()) {
      continue;
    }
    const std::string path = absl::StrCat(task.out_directory, "/", output.name);
    std::ofstream written(path, std::ios::binary | std::ios::trunc);
    written.write(file->second.data(), static_cast<std::streamsize>(file->second.size()));
    written.close();
    if (!written) {
      return absl::ResourceExhaustedError(absl::StrCat("cannot write ", path));
    }
  }
  return CheckOutputs(task);
}

absl::Status JobRunner::Discard(const BuildKey& build) {
  const absl::StatusOr<TrainerRun> run = runs_.Get(build);
  if (absl::IsNotFound(run.status())) {
    return absl::OkStatus();
  }
  FIELDLOOP_RETURN_IF_ERROR(run.status());
  const std::string name = JobName(config_, build);
  FIELDLOOP_ASSIGN_OR_RETURN(const KubernetesAnswer found,
                             client_.Send("GET", Path(kBatch, "jobs", name)));
  if (found.status != kOk && found.status != kNotFound) {
    return Refused(absl::StrCat("read the Job ", name), found);
  }
  if (found.status == kOk) {
    FIELDLOOP_ASSIGN_OR_RETURN(const Json job, ObjectOf(found));
    // One that is over stays for people to look at, for as long as the configuration says.
    if (RunOfJob(job) == run->id && !StateOfJob(job).over() && !run->finished) {
      FIELDLOOP_RETURN_IF_ERROR(DeleteJob(name));
    }
  }
  return runs_.Forget(*run);
}

absl::StatusOr<std::vector<BuildKey>> JobRunner::Kept() { return runs_.Builds(); }

}  // namespace fieldloop::build
