// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/rollout_service.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/error_reason.h"
#include "services/common/status/status_macros.h"
#include "services/common/trace/span.h"

namespace fieldloop::distribution {
namespace {

constexpr absl::Duration kRootsAge = absl::Seconds(30);
constexpr std::size_t kMaxReasonBytes = 200;
constexpr std::size_t kMaxRequestIdBytes = 63;
constexpr std::size_t kMaxSelectorEntries = 32;

struct RolloutName {
  std::string project;
  std::int64_t number = 0;
};

absl::StatusOr<RolloutName> ParseName(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                             ParseResourceName("name", "projects/*/rollouts/*", name));
  RolloutName parsed{.project = absl::StrCat("projects/", parts[0])};
  if (!absl::SimpleAtoi(parts[1], &parsed.number) || parsed.number < 1) {
    return absl::NotFoundError(absl::StrCat("no rollout ", name));
  }
  return parsed;
}

absl::Status ValidateReason(absl::string_view reason) {
  if (reason.empty() || reason.size() > kMaxReasonBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("reason: got ", reason.size(), " bytes, want 1 to ", kMaxReasonBytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> NumberOfToken(absl::string_view token, std::int64_t none) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string key, DecodePageToken(token));
  std::int64_t number = none;
  if (!key.empty() && !absl::SimpleAtoi(key, &number)) {
    return absl::InvalidArgumentError("page_token: not one of ours");
  }
  return number;
}

// Cuts `rows`, one more than a page if there is a next page, and makes the token for it.
template <typename Row, typename Key>
Page<Row> MakePage(std::vector<Row> rows, int size, Key key) {
  Page<Row> page{.rows = std::move(rows), .next_page_token = ""};
  if (page.rows.size() > static_cast<std::size_t>(size)) {
    page.rows.resize(static_cast<std::size_t>(size));
    page.next_page_token = EncodePageToken(absl::StrCat(key(page.rows.back())));
  }
  return page;
}

RolloutOffer OfferOf(const Rollout& rollout) {
  return {.number = rollout.number,
          .traceparent = rollout.traceparent,
          .manifest = rollout.manifest,
          .artifact_digests = rollout.artifact_digests};
}

}  // namespace

RolloutService::RolloutService(RolloutStore& store, ReleaseRegistry& registry,
                               DeviceIdentity& identity, ArtifactCache& artifacts,
                               RootCatalog& roots, FleetService& fleet, const Clock& clock)
    : store_(store),
      registry_(registry),
      identity_(identity),
      artifacts_(artifacts),
      roots_(roots),
      fleet_(fleet),
      clock_(clock) {}

absl::StatusOr<Rollout> RolloutService::Create(const std::string& project, Rollout wanted,
                                               const std::string& request_id,
                                               const std::string& author) {
  if (request_id.size() > kMaxRequestIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("request_id: got ", request_id.size(),
                                                   " bytes, want at most ", kMaxRequestIdBytes));
  }
  FIELDLOOP_RETURN_IF_ERROR(
      ParseResourceName("rollout.release", "projects/*/releases/*", wanted.release).status());
  if (ProjectOf(wanted.release) != project) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rollout.release: got one of ", ProjectOf(wanted.release), ", want one of ", project));
  }
  if (wanted.target.attributes.size() > kMaxSelectorEntries ||
      wanted.target.hardware_ids.size() > kMaxSelectorEntries) {
    return absl::InvalidArgumentError(
        absl::StrCat("rollout.target: want at most ", kMaxSelectorEntries, " entries"));
  }
  FIELDLOOP_RETURN_IF_ERROR(NormalizePlan(wanted.plan));
  if (!request_id.empty()) {
    FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<Rollout> before,
                               store_.FindByRequest(project, request_id));
    if (before.has_value()) {
      return *before;
    }
  }

  FIELDLOOP_ASSIGN_OR_RETURN(const Release release, registry_.GetRelease(wanted.release));
  if (!release.is_signed) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "RELEASE_NOT_SIGNED",
                           absl::StrCat(release.name, " needs more signatures"));
  }
  if (release.expire_time <= clock_.Now()) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "RELEASE_EXPIRED",
                           absl::StrCat(release.name, " has expired"));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Device> devices, identity_.ListDevices(project));
  std::vector<std::string> targets;
  const DeviceSelector for_hardware{.attributes = {}, .hardware_ids = release.hardware_ids};
  for (const Device& device : devices) {
    if (!device.revoked && Matches(wanted.target, device) && Matches(for_hardware, device)) {
      targets.push_back(device.name);
    }
  }
  if (targets.empty()) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "NO_DEVICES",
                           "the target selects no device that may run the release");
  }
  // Now rather than when the first devices wait for it.
  for (const std::string& digest : release.artifact_digests) {
    FIELDLOOP_RETURN_IF_ERROR(artifacts_.Fetch(project, digest));
  }
  FIELDLOOP_RETURN_IF_ERROR(roots_.Refresh());
  FIELDLOOP_ASSIGN_OR_RETURN(const FleetSettings settings, fleet_.GetSettings(project));

  wanted.project = project;
  wanted.request_id = request_id;
  wanted.traceparent = CurrentTraceparent();
  wanted.target_count = static_cast<int>(targets.size());
  wanted.model = release.model;
  wanted.components = release.components;
  wanted.release_sequence = release.sequence;
  wanted.release_expire_time = release.expire_time;
  wanted.artifact_digests = release.artifact_digests;
  wanted.manifest = release.manifest;
  wanted.turn_timeout = std::max(absl::Seconds(wanted.plan.device_timeout_seconds),
                                 absl::Seconds(2 * settings.check_in_seconds));
  const absl::Time now = clock_.Now();
  absl::StatusOr<Rollout> created =
      store_.Create(project, request_id, [&](std::int64_t number) -> NewRollout {
        NewRollout fresh;
        fresh.rollout = wanted;
        fresh.rollout.number = number;
        fresh.devices = OrderDevices(project, number, targets, now);
        Start(fresh.rollout, author, now, fresh.events);
        return fresh;
      });
  if (created.ok()) {
    const MutexLock lock(roots_mutex_);
    with_roots_.emplace(project, created->number);
  }
  changes_.Notify();
  return created;
}

absl::StatusOr<Rollout> RolloutService::Get(absl::string_view name) {
  FIELDLOOP_ASSIGN_OR_RETURN(const RolloutName parsed, ParseName(name));
  return store_.Get(parsed.project, parsed.number);
}

absl::StatusOr<Page<Rollout>> RolloutService::List(const std::string& project, int page_size,
                                                   absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t before,
                             NumberOfToken(page_token, std::numeric_limits<std::int64_t>::max()));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<Rollout> rows, store_.List(project, before, size + 1));
  return MakePage(std::move(rows), size, [](const Rollout& rollout) { return rollout.number; });
}

absl::StatusOr<Page<RolloutDevice>> RolloutService::ListDevices(absl::string_view name,
                                                                int page_size,
                                                                absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Rollout rollout, Get(name));
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<RolloutDevice> rows,
                             store_.ListDevices(rollout.project, rollout.number, after, size + 1));
  return MakePage(std::move(rows), size, [](const RolloutDevice& device) { return device.device; });
}

absl::StatusOr<Page<RolloutEvent>> RolloutService::ListEvents(absl::string_view name, int page_size,
                                                              absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const Rollout rollout, Get(name));
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::int64_t after, NumberOfToken(page_token, 0));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<RolloutEvent> rows,
                             store_.ListEvents(rollout.project, rollout.number, after, size + 1));
  return MakePage(std::move(rows), size, [&](const RolloutEvent&) { return after + size; });
}

absl::StatusOr<Rollout> RolloutService::Change(const std::string& project, std::int64_t number,
                                               absl::FunctionRef<absl::Status(RolloutEdit&)> body) {
  absl::StatusOr<Rollout> rollout = store_.Change(project, number, body);
  if (rollout.ok()) {
    changes_.Notify();
  }
  return rollout;
}

absl::StatusOr<Rollout> RolloutService::Pause(absl::string_view name, const std::string& reason,
                                              const std::string& author) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateReason(reason));
  FIELDLOOP_ASSIGN_OR_RETURN(const RolloutName parsed, ParseName(name));
  return Change(parsed.project, parsed.number, [&](RolloutEdit& edit) {
    return distribution::Pause(edit.rollout, reason, author, clock_.Now(), edit.events);
  });
}

absl::StatusOr<Rollout> RolloutService::Resume(absl::string_view name, const std::string& author) {
  FIELDLOOP_ASSIGN_OR_RETURN(const RolloutName parsed, ParseName(name));
  return Change(parsed.project, parsed.number, [&](RolloutEdit& edit) {
    return distribution::Resume(edit.rollout, author, clock_.Now(), edit.events);
  });
}

absl::StatusOr<Rollout> RolloutService::Cancel(absl::string_view name, const std::string& reason,
                                               const std::string& author) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateReason(reason));
  FIELDLOOP_ASSIGN_OR_RETURN(const RolloutName parsed, ParseName(name));
  return Change(parsed.project, parsed.number, [&](RolloutEdit& edit) {
    return distribution::Cancel(edit.rollout, reason, author, clock_.Now(), edit.events);
  });
}

absl::StatusOr<std::optional<RolloutOffer>> RolloutService::CheckIn(
    const std::string& device, const std::vector<ComponentState>& components,
    std::int64_t offered) {
  const std::string project = ProjectOf(device);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<Rollout> active, store_.FindActive(project));
  if (!active.has_value() || active->state != RolloutState::kRunning || !HasRootsFor(*active)) {
    return std::nullopt;
  }
  // Reads only, until there is something to write: most check-ins end here.
  const absl::StatusOr<RolloutDevice> row = store_.GetDevice(project, active->number, device);
  if (absl::IsNotFound(row.status())) {
    return std::nullopt;
  }
  FIELDLOOP_RETURN_IF_ERROR(row.status());
  const SetState set = Compare(active->components, components);
  const bool runs_it = set != SetState::kOther;
  if (MayOfferAgain(*active, *row, clock_.Now())) {
    return runs_it || offered == active->number ? std::nullopt
                                                : std::optional<RolloutOffer>(OfferOf(*active));
  }
  if (!MayOffer(*active, *row, clock_.Now()) || set == SetState::kTrial) {
    return std::nullopt;
  }

  bool has_place = false;
  FIELDLOOP_ASSIGN_OR_RETURN(
      const Rollout changed,
      Change(project, active->number, [&](RolloutEdit& edit) -> absl::Status {
        const absl::Time now = clock_.Now();
        FIELDLOOP_ASSIGN_OR_RETURN(RolloutDevice target, edit.Device(device));
        has_place = MayOffer(edit.rollout, target, now);
        if (!has_place) {
          return absl::OkStatus();  // Others were faster.
        }
        FIELDLOOP_RETURN_IF_ERROR(Offer(edit.rollout, target, now, edit.events));
        if (runs_it) {
          ApplyRunning(edit.rollout, target, components, now, edit.events);
        }
        edit.changed.push_back(target);
        Settle(edit.rollout, now, edit.events);
        return absl::OkStatus();
      }));
  return has_place && !runs_it ? std::optional<RolloutOffer>(OfferOf(changed)) : std::nullopt;
}

absl::StatusOr<std::optional<RolloutOffer>> RolloutService::CurrentOffer(
    const std::string& device) {
  const std::string project = ProjectOf(device);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<Rollout> active, store_.FindActive(project));
  if (!active.has_value()) {
    return std::nullopt;
  }
  const absl::StatusOr<RolloutDevice> row = store_.GetDevice(project, active->number, device);
  if (absl::IsNotFound(row.status())) {
    return std::nullopt;
  }
  FIELDLOOP_RETURN_IF_ERROR(row.status());
  if (row->state == RolloutDeviceState::kPending || IsDone(*row)) {
    return std::nullopt;
  }
  return OfferOf(*active);
}

absl::Status RolloutService::Report(const std::string& device, absl::string_view rollout_id,
                                    const UpdateReport& report) {
  std::int64_t number = 0;
  if (!absl::SimpleAtoi(rollout_id, &number)) {
    return absl::OkStatus();
  }
  const absl::Status status =
      Change(ProjectOf(device), number, [&](RolloutEdit& edit) -> absl::Status {
        FIELDLOOP_ASSIGN_OR_RETURN(RolloutDevice target, edit.Device(device));
        FIELDLOOP_ASSIGN_OR_RETURN(const bool repeated, edit.HasReport(device, report.sequence));
        if (repeated) {
          return absl::OkStatus();
        }
        const absl::Time now = clock_.Now();
        ApplyReport(edit.rollout, target, report, now, edit.events);
        edit.changed.push_back(target);
        Settle(edit.rollout, now, edit.events);
        return absl::OkStatus();
      }).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status RolloutService::Running(const std::string& device,
                                     const std::vector<ComponentState>& components) {
  const std::string project = ProjectOf(device);
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<Rollout> active, store_.FindActive(project));
  if (!active.has_value() || Compare(active->components, components) == SetState::kOther) {
    return absl::OkStatus();
  }
  const absl::Status status =
      Change(project, active->number, [&](RolloutEdit& edit) -> absl::Status {
        FIELDLOOP_ASSIGN_OR_RETURN(RolloutDevice target, edit.Device(device));
        const absl::Time now = clock_.Now();
        const RolloutDeviceState before = target.state;
        ApplyRunning(edit.rollout, target, components, now, edit.events);
        if (target.state != before) {
          edit.changed.push_back(target);
          Settle(edit.rollout, now, edit.events);
        }
        return absl::OkStatus();
      }).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status RolloutService::Tick() {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Rollout> active, store_.ListActive());
  absl::Status result;
  for (const Rollout& rollout : active) {
    WorkSpan work("rollout", SpanKind::kInternal, {},
                  {{"rollout", absl::StrCat(rollout.project, "/rollouts/", rollout.number)}},
                  {TraceOf(rollout.traceparent)});
    bool moved = false;
    // One rollout that cannot be worked on must not keep the others waiting.
    const absl::Status status =
        Change(rollout.project, rollout.number, [&](RolloutEdit& edit) -> absl::Status {
          const absl::Time now = clock_.Now();
          FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<RolloutDevice> overdue,
                                     edit.OpenOffersUntil(OfferDeadline(edit.rollout, now)));
          for (RolloutDevice device : overdue) {
            TimeOut(edit.rollout, device, now, edit.events);
            edit.changed.push_back(device);
          }
          if (PendingAreMissed(edit.rollout, now)) {
            FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<RolloutDevice> pending, edit.Pending());
            for (RolloutDevice device : pending) {
              Miss(edit.rollout, device, now, edit.events);
              edit.changed.push_back(device);
            }
          }
          Settle(edit.rollout, now, edit.events);
          moved = !edit.events.empty();
          return absl::OkStatus();
        }).status();
    result.Update(status);
    work.span().Finish(status);
    if (status.ok() && !moved) {
      work.span().Drop();
    }
  }
  return result;
}

absl::StatusOr<std::map<RolloutState, std::int64_t>> RolloutService::CountByState() {
  return store_.CountByState();
}

absl::StatusOr<std::vector<Rollout>> RolloutService::ListActive() { return store_.ListActive(); }

bool RolloutService::HasRootsFor(const Rollout& rollout) const {
  const MutexLock lock(roots_mutex_);
  return with_roots_.count({rollout.project, rollout.number}) > 0;
}

absl::Status RolloutService::LearnRoots() {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::vector<Rollout> active, store_.ListActive());
  const absl::Time now = clock_.Now();
  const bool complete = std::all_of(active.begin(), active.end(), [this](const Rollout& rollout) {
    return HasRootsFor(rollout);
  });
  {
    const MutexLock lock(roots_mutex_);
    if (complete && now - roots_time_ < kRootsAge) {
      return absl::OkStatus();
    }
  }
  FIELDLOOP_RETURN_IF_ERROR(roots_.Refresh());
  const MutexLock lock(roots_mutex_);
  roots_time_ = now;
  with_roots_.clear();
  for (const Rollout& rollout : active) {
    with_roots_.emplace(rollout.project, rollout.number);
  }
  return absl::OkStatus();
}

}  // namespace fieldloop::distribution
