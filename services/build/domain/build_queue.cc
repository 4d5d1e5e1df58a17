// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/build_queue.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/domain/names.h"
#include "services/build/domain/recipe.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace fieldloop::build {
namespace {

constexpr std::size_t kMaxRequestId = 63;

absl::Status CheckProject(absl::string_view field, absl::string_view got, absl::string_view want) {
  if (got != want) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got one of projects/", got, ", want one of projects/", want));
  }
  return absl::OkStatus();
}

}  // namespace

BuildQueue::BuildQueue(const Parts& parts, std::int64_t max_queued)
    : parts_(parts), max_queued_(max_queued) {}

absl::StatusOr<Build> BuildQueue::Create(absl::string_view parent, const BuildRequest& request,
                                         absl::string_view request_id) {
  Build build;
  FIELDLOOP_ASSIGN_OR_RETURN(build.project, ParseProjectName("parent", parent));
  if (request_id.size() > kMaxRequestId) {
    return absl::InvalidArgumentError(absl::StrCat("request_id: got ", request_id.size(),
                                                   " bytes, want at most ", kMaxRequestId));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      const std::vector<std::string> dataset,
      ParseResourceName("build.dataset_version", "projects/*/datasets/*/versions/*",
                        request.dataset_version));
  FIELDLOOP_RETURN_IF_ERROR(CheckProject("build.dataset_version", dataset[0], build.project));
  FIELDLOOP_ASSIGN_OR_RETURN(const ImpulseNameParts impulse_name,
                             ParseImpulseName("build.impulse", request.impulse));
  FIELDLOOP_RETURN_IF_ERROR(CheckProject("build.impulse", impulse_name.project, build.project));
  NumberedName parent_name;
  if (!request.parent_model.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(parent_name,
                               ParseModelName("build.parent_model", request.parent_model));
    FIELDLOOP_RETURN_IF_ERROR(
        CheckProject("build.parent_model", parent_name.project, build.project));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const Trainer* trainer,
                             parts_.trainers.Find("build.trainer", request.trainer));
  build.trainer_id = std::string(trainer->id());
  if (!request_id.empty()) {
    absl::StatusOr<Build> first = parts_.builds.GetByRequest(build.project, request_id);
    if (first.ok() || !absl::IsNotFound(first.status())) {
      return first;
    }
  }
  FIELDLOOP_ASSIGN_OR_RETURN(
      const Impulse impulse,
      parts_.impulses.Get(build.project, impulse_name.id, impulse_name.version));
  if (parent_name.number != 0) {
    FIELDLOOP_ASSIGN_OR_RETURN(const Model model,
                               parts_.models.Get(build.project, parent_name.number));
    build.parent_model = model.number;
    build.parent_digest = model.digest;
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const DatasetVersionInfo version,
                             parts_.datasets.GetVersion(request.dataset_version));
  build.dataset_version = request.dataset_version;
  build.dataset_digest = version.digest;
  build.impulse = ImpulseName(impulse.project, impulse.id, impulse.version);
  build.impulse_digest = impulse.digest;
  build.seed = request.seed == 0 ? 1 : request.seed;
  build.request_id = std::string(request_id);
  build.traceparent = CurrentTraceparent();
  build.activity = "waits";
  build.create_time = parts_.clock.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(Build stored, parts_.builds.Insert(build, max_queued_));
  parts_.changes.Notify();
  return WithQueuePosition(std::move(stored));
}

absl::StatusOr<Build> BuildQueue::Get(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName parts, ParseBuildName("name", name));
  FIELDLOOP_ASSIGN_OR_RETURN(Build build, parts_.builds.Get(parts.project, parts.number));
  return WithQueuePosition(std::move(build));
}

absl::StatusOr<Build> BuildQueue::WithQueuePosition(Build build) {
  if (build.state == BuildState::kQueued) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<WaitingBuild> order,
                               parts_.builds.Order(parts_.clock.Now()));
    const auto place =
        std::find_if(order.begin(), order.end(), [&build](const WaitingBuild& waiting) {
          return waiting.project == build.project && waiting.number == build.number;
        });
    build.queue_position = place - order.begin();
  }
  return build;
}

absl::StatusOr<Page<Build>> BuildQueue::List(absl::string_view parent, int page_size,
                                             absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string project, ParseProjectName("parent", parent));
  return ListNewestFirst<Build>(
      page_size, page_token,
      [&](std::int64_t before, int limit) { return parts_.builds.List(project, before, limit); },
      [](const Build& build) { return build.number; });
}

absl::StatusOr<Build> BuildQueue::Cancel(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName parts, ParseBuildName("name", name));
  const absl::Time now = parts_.clock.Now();
  FIELDLOOP_ASSIGN_OR_RETURN(
      Build build, parts_.builds.Update(parts.project, parts.number,
                                        [&](Build& change) { return CancelBuild(change, now); }));
  for (const auto& running : parts_.running.All()) {
    if (running->project == build.project && running->number == build.number) {
      running->stop.request_stop();
    }
  }
  parts_.changes.Notify();
  parts_.observer.OnBuildDone(
      build, build.start_time == absl::UnixEpoch() ? absl::ZeroDuration() : now - build.start_time);
  return build;
}

absl::StatusOr<std::string> BuildQueue::Log(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const NumberedName parts, ParseBuildName("name", name));
  FIELDLOOP_ASSIGN_OR_RETURN(const Build build, parts_.builds.Get(parts.project, parts.number));
  if (!build.log_digest.empty()) {
    return parts_.blobs.Get(build.log_digest);
  }
  const std::optional<std::string> log = parts_.running.Log(parts.project, parts.number);
  if (!log.has_value() && IsRunning(build.state)) {
    // A client that asks again comes to the next replica.
    return absl::UnavailableError(
        "the log of a build that runs is with the replica that runs it; ask again");
  }
  return log.value_or("");
}

}  // namespace fieldloop::build
