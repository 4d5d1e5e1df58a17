// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/rollout.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/status/error_reason.h"

namespace fieldloop::distribution {
namespace {

constexpr std::size_t kMaxStages = 20;
constexpr std::int64_t kMaxSeconds = 365LL * 24 * 3600;

std::size_t Index(int value) { return static_cast<std::size_t>(value); }

const RolloutStage& StageOf(const Rollout& rollout) {
  return rollout.plan.stages[Index(rollout.stage)];
}

bool IsLastStage(const Rollout& rollout) {
  return Index(rollout.stage) + 1 == rollout.plan.stages.size();
}

bool IsOverdue(const Rollout& rollout, absl::Time now) {
  return now >= rollout.stage_open_time + rollout.turn_timeout;
}

RolloutEvent& AddEvent(const Rollout& rollout, absl::string_view kind, absl::string_view detail,
                       absl::string_view author, absl::Time now,
                       std::vector<RolloutEvent>& events) {
  RolloutEvent& event = events.emplace_back();
  event.create_time = now;
  event.kind = std::string(kind);
  event.detail = std::string(detail);
  event.stage = rollout.stage;
  event.offered = rollout.offered;
  event.quota = rollout.quota;
  event.author = std::string(author);
  return event;
}

RolloutEvent& AddDeviceEvent(const Rollout& rollout, const RolloutDevice& device,
                             absl::string_view kind, absl::string_view detail, absl::Time now,
                             std::vector<RolloutEvent>& events) {
  RolloutEvent& event = AddEvent(rollout, kind, detail, device.device, now, events);
  event.device = device.device;
  return event;
}

bool IsModelOnly(const Rollout& rollout) {
  return rollout.components.size() == 1 && rollout.components.front().kind == ComponentKind::kModel;
}

std::string Detail(const RolloutDevice& device) {
  return device.cause.empty() ? std::string(NameOf(device.state))
                              : absl::StrCat(NameOf(device.state), ": ", device.cause);
}

void End(Rollout& rollout, RolloutState state, std::string reason, absl::string_view kind,
         absl::string_view author, absl::Time now, std::vector<RolloutEvent>& events) {
  rollout.state = state;
  rollout.state_reason = std::move(reason);
  rollout.end_time = now;
  rollout.pause_time.reset();
  AddEvent(rollout, kind, rollout.state_reason, author, now, events);
}

void PauseNow(Rollout& rollout, std::string reason, absl::string_view author, absl::Time now,
              std::vector<RolloutEvent>& events) {
  rollout.state = RolloutState::kPaused;
  rollout.state_reason = std::move(reason);
  rollout.pause_time = now;
  AddEvent(rollout, kEventPaused, rollout.state_reason, author, now, events);
}

void OpenStage(Rollout& rollout, int stage, absl::Time now, std::vector<RolloutEvent>& events) {
  rollout.stage = stage;
  rollout.quota = QuotaOf(StageOf(rollout).percent, rollout.target_count);
  rollout.stage_open_time = now;
  rollout.stage_confirm_time.reset();
  AddEvent(rollout, kEventStageOpened,
           absl::StrCat("stage ", stage, ": up to ", rollout.quota, " of ", rollout.target_count,
                        " devices"),
           kDistributionAuthor, now, events);
}

// Devices whose confirmation the stage waits for: those it has places for, and once it is overdue
// only those that took one.
int Expected(const Rollout& rollout, absl::Time now) {
  return IsOverdue(rollout, now) ? rollout.offered : rollout.quota;
}

int NeededConfirmations(const Rollout& rollout, absl::Time now) {
  // At least one: nothing was ever proven by a stage that no device took part in.
  return std::max(1, QuotaOf(StageOf(rollout).confirm_percent, Expected(rollout, now)));
}

// All who could confirm have spoken, and they are too few.
bool IsShort(const Rollout& rollout, absl::Time now) {
  return !IsLastStage(rollout) && rollout.offered > 0 &&
         rollout.confirmed < NeededConfirmations(rollout, now) &&
         rollout.confirmed + rollout.failed >= Expected(rollout, now);
}

// A draw from [0, bound) that is the same with every standard library, unlike
// std::uniform_int_distribution. The bias of the remainder is far below anything that matters here.
std::size_t Draw(std::mt19937_64& generator, std::size_t bound) { return generator() % bound; }

}  // namespace

absl::string_view NameOf(RolloutState state) {
  switch (state) {
    case RolloutState::kRunning:
      return "RUNNING";
    case RolloutState::kPaused:
      return "PAUSED";
    case RolloutState::kCompleted:
      return "COMPLETED";
    case RolloutState::kFailed:
      return "FAILED";
    case RolloutState::kCancelled:
      return "CANCELLED";
  }
  return "";
}

absl::string_view NameOf(RolloutDeviceState state) {
  switch (state) {
    case RolloutDeviceState::kPending:
      return "PENDING";
    case RolloutDeviceState::kOffered:
      return "OFFERED";
    case RolloutDeviceState::kDownloading:
      return "DOWNLOADING";
    case RolloutDeviceState::kDownloaded:
      return "DOWNLOADED";
    case RolloutDeviceState::kTrial:
      return "TRIAL";
    case RolloutDeviceState::kConfirmed:
      return "CONFIRMED";
    case RolloutDeviceState::kFailed:
      return "FAILED";
    case RolloutDeviceState::kTimedOut:
      return "TIMED_OUT";
  }
  return "";
}

absl::Status NormalizePlan(RolloutPlan& plan) {
  if (plan.stages.empty() || plan.stages.size() > kMaxStages) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan.stages: got ", plan.stages.size(), ", want 1 to ", kMaxStages));
  }
  double before = 0;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    RolloutStage& stage = plan.stages[i];
    const std::string field = absl::StrCat("plan.stages[", i, "].");
    if (!(stage.percent > before && stage.percent <= 100)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "percent: got ", stage.percent, ", want above ", before, " to 100"));
    }
    before = stage.percent;
    if (stage.confirm_percent == 0) {
      stage.confirm_percent = 100;
    }
    if (!(stage.confirm_percent > 0 && stage.confirm_percent <= 100)) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, "confirm_percent: got ", stage.confirm_percent, ", want above 0 to 100"));
    }
    if (stage.soak_seconds < 0 || stage.soak_seconds > kMaxSeconds) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, "soak_seconds: got ", stage.soak_seconds, ", want 0 to ", kMaxSeconds));
    }
  }
  if (before != 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan.stages: got ", before, " percent in the last stage, want 100"));
  }
  if (plan.failure_percent == 0) {
    plan.failure_percent = 10;
  }
  if (!(plan.failure_percent > 0 && plan.failure_percent <= 100)) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan.failure_percent: got ", plan.failure_percent, ", want 0 to 100"));
  }
  if (plan.failure_count == 0) {
    plan.failure_count = 1;
  }
  if (plan.failure_count < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan.failure_count: got ", plan.failure_count, ", want at least 1"));
  }
  if (plan.device_timeout_seconds == 0) {
    plan.device_timeout_seconds = 3600;
  }
  if (plan.device_timeout_seconds < 1 || plan.device_timeout_seconds > kMaxSeconds) {
    return absl::InvalidArgumentError(absl::StrCat("plan.device_timeout_seconds: got ",
                                                   plan.device_timeout_seconds, ", want 1 to ",
                                                   kMaxSeconds));
  }
  return absl::OkStatus();
}

int QuotaOf(double percent, int target_count) {
  // 7 % of 100 is 7.000000000000001 in binary: that is 7 devices, not 8.
  constexpr double kRounding = 1e-9;
  const double exact = percent * static_cast<double>(target_count) / 100;
  const int quota = static_cast<int>(std::ceil(exact - kRounding));
  return std::clamp(quota, std::min(1, target_count), target_count);
}

bool IsActive(const Rollout& rollout) {
  return rollout.state == RolloutState::kRunning || rollout.state == RolloutState::kPaused;
}

bool IsDone(const RolloutDevice& device) {
  return device.state == RolloutDeviceState::kConfirmed ||
         device.state == RolloutDeviceState::kFailed ||
         device.state == RolloutDeviceState::kTimedOut;
}

std::vector<RolloutDevice> OrderDevices(absl::string_view project, std::int64_t number,
                                        std::vector<std::string> devices, absl::Time now) {
  std::sort(devices.begin(), devices.end());
  // FNV-1a of the rollout's name seeds the order: the same devices are not the first ones every
  // time.
  std::uint64_t seed = 14695981039346656037ULL;
  for (const char c : absl::StrCat(project, "/rollouts/", number)) {
    seed = (seed ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  std::mt19937_64 generator(seed);
  for (std::size_t i = devices.size(); i > 1; --i) {
    std::swap(devices[i - 1], devices[Draw(generator, i)]);
  }
  std::vector<RolloutDevice> ordered;
  ordered.reserve(devices.size());
  for (std::string& device : devices) {
    RolloutDevice& next = ordered.emplace_back();
    next.position = static_cast<int>(ordered.size()) - 1;
    next.device = std::move(device);
    next.update_time = now;
  }
  return ordered;
}

void Start(Rollout& rollout, absl::string_view author, absl::Time now,
           std::vector<RolloutEvent>& events) {
  rollout.state = RolloutState::kRunning;
  rollout.create_time = now;
  AddEvent(rollout, kEventCreated, rollout.release, author, now, events);
  OpenStage(rollout, 0, now, events);
}

bool MayOffer(const Rollout& rollout, const RolloutDevice& device, absl::Time now) {
  return rollout.state == RolloutState::kRunning && now < rollout.release_expire_time &&
         device.state == RolloutDeviceState::kPending && rollout.offered < rollout.quota &&
         (device.position < rollout.quota || IsOverdue(rollout, now));
}

absl::Status Offer(Rollout& rollout, RolloutDevice& device, absl::Time now,
                   std::vector<RolloutEvent>& events) {
  if (!MayOffer(rollout, device, now)) {
    return absl::FailedPreconditionError("no place for the device in this stage");
  }
  device.state = RolloutDeviceState::kOffered;
  device.stage = rollout.stage;
  device.offer_time = now;
  device.update_time = now;
  ++rollout.offered;
  RolloutEvent& event = AddDeviceEvent(rollout, device, kEventOffered, "", now, events);
  event.author = kDistributionAuthor;
  return absl::OkStatus();
}

bool MayOfferAgain(const Rollout& rollout, const RolloutDevice& device, absl::Time now) {
  // A device on trial has what was offered.
  return rollout.state == RolloutState::kRunning && now < rollout.release_expire_time &&
         (device.state == RolloutDeviceState::kOffered ||
          device.state == RolloutDeviceState::kDownloading ||
          device.state == RolloutDeviceState::kDownloaded);
}

void ApplyReport(Rollout& rollout, RolloutDevice& device, const UpdateReport& report,
                 absl::Time now, std::vector<RolloutEvent>& events) {
  if (device.state == RolloutDeviceState::kPending) {
    return;  // It was offered nothing: there is nothing to report.
  }
  RolloutDevice next = device;
  std::string remark;
  switch (report.phase) {
    case UpdatePhase::kAccepted:
      next.state = RolloutDeviceState::kDownloading;
      next.cause.clear();
      break;
    case UpdatePhase::kDownloaded:
      next.state = RolloutDeviceState::kDownloaded;
      next.cause.clear();
      break;
    case UpdatePhase::kTrial:
      next.state = RolloutDeviceState::kTrial;
      next.cause.clear();
      break;
    case UpdatePhase::kConfirmed:
      if (!IsModelOnly(rollout)) {
        remark = "confirmed, its state is to show all components";
      } else if (report.active_digest == ModelDigestOf(rollout.components)) {
        next.state = RolloutDeviceState::kConfirmed;
        next.cause.clear();
      } else {
        remark = absl::StrCat("confirmed, but runs ",
                              report.active_digest.empty() ? "nothing" : report.active_digest);
      }
      break;
    case UpdatePhase::kReverted:
    case UpdatePhase::kFailed:
      next.state = RolloutDeviceState::kFailed;
      next.cause = report.cause;
      break;
    case UpdatePhase::kDeferred:
      next.cause = report.cause.empty() ? kDeferredCause : report.cause;
      remark = "deferred by the application";
      break;
  }
  if (IsDone(device)) {
    AddDeviceEvent(rollout, device, kEventDeviceState,
                   absl::StrCat("stays ", NameOf(device.state), "; reported ",
                                remark.empty() ? Detail(next) : remark),
                   now, events)
        .report_sequence = report.sequence;
    return;
  }
  if (next.state == RolloutDeviceState::kConfirmed) {
    ++rollout.confirmed;
  } else if (next.state == RolloutDeviceState::kFailed) {
    ++rollout.failed;
  }
  next.update_time = now;
  device = next;
  AddDeviceEvent(rollout, device, kEventDeviceState, remark.empty() ? Detail(device) : remark, now,
                 events)
      .report_sequence = report.sequence;
}

void ApplyRunning(Rollout& rollout, RolloutDevice& device,
                  const std::vector<ComponentState>& components, absl::Time now,
                  std::vector<RolloutEvent>& events) {
  const SetState set = Compare(rollout.components, components);
  if (device.state == RolloutDeviceState::kPending || IsDone(device) || set == SetState::kOther) {
    return;
  }
  const bool confirmed = set == SetState::kConfirmed;
  const RolloutDeviceState state =
      confirmed ? RolloutDeviceState::kConfirmed : RolloutDeviceState::kTrial;
  if (device.state == state) {
    return;
  }
  device.state = state;
  device.cause.clear();
  device.update_time = now;
  if (confirmed) {
    ++rollout.confirmed;
  }
  AddDeviceEvent(rollout, device, kEventDeviceState, Detail(device), now, events);
}

absl::Time OfferDeadline(const Rollout& rollout, absl::Time now) {
  return now - absl::Seconds(rollout.plan.device_timeout_seconds);
}

void TimeOut(Rollout& rollout, RolloutDevice& device, absl::Time now,
             std::vector<RolloutEvent>& events) {
  if (device.state == RolloutDeviceState::kPending || IsDone(device)) {
    return;
  }
  const absl::string_view last = NameOf(device.state);
  device.state = RolloutDeviceState::kTimedOut;
  device.update_time = now;
  ++rollout.failed;
  AddDeviceEvent(rollout, device, kEventDeviceState,
                 absl::StrCat("TIMED_OUT: last heard as ", last), now, events)
      .author = kDistributionAuthor;
}

bool PendingAreMissed(const Rollout& rollout, absl::Time now) {
  return rollout.state == RolloutState::kRunning && IsLastStage(rollout) &&
         IsOverdue(rollout, now) &&
         rollout.confirmed + rollout.failed + rollout.missed < rollout.target_count;
}

void Miss(Rollout& rollout, RolloutDevice& device, absl::Time now,
          std::vector<RolloutEvent>& events) {
  if (device.state != RolloutDeviceState::kPending) {
    return;
  }
  device.state = RolloutDeviceState::kTimedOut;
  device.update_time = now;
  ++rollout.missed;
  AddDeviceEvent(rollout, device, kEventDeviceState, "TIMED_OUT: was never there to be offered",
                 now, events)
      .author = kDistributionAuthor;
}

void Settle(Rollout& rollout, absl::Time now, std::vector<RolloutEvent>& events) {
  if (!IsActive(rollout)) {
    return;
  }
  if (rollout.failed >= rollout.plan.failure_count &&
      100.0 * rollout.failed >= rollout.plan.failure_percent * rollout.offered) {
    End(rollout, RolloutState::kFailed,
        absl::StrCat(rollout.failed, " of ", rollout.offered, " devices failed"), kEventFailed,
        kDistributionAuthor, now, events);
    return;
  }
  while (rollout.state == RolloutState::kRunning) {
    const bool last = IsLastStage(rollout);
    const bool confirmed =
        last ? rollout.confirmed + rollout.failed + rollout.missed >= rollout.target_count
             : rollout.confirmed >= NeededConfirmations(rollout, now);
    if (!confirmed) {
      if (IsShort(rollout, now)) {
        PauseNow(rollout,
                 absl::StrCat("stage ", rollout.stage, " ended with ", rollout.confirmed, " of ",
                              rollout.offered, " devices confirmed, want ",
                              NeededConfirmations(rollout, now)),
                 kDistributionAuthor, now, events);
      } else if (now >= rollout.release_expire_time) {
        PauseNow(rollout, "the release has expired", kDistributionAuthor, now, events);
      }
      return;
    }
    if (!rollout.stage_confirm_time.has_value()) {
      rollout.stage_confirm_time = now;
    }
    if (now < *rollout.stage_confirm_time + absl::Seconds(StageOf(rollout).soak_seconds)) {
      return;
    }
    if (!last) {
      OpenStage(rollout, rollout.stage + 1, now, events);
      continue;
    }
    if (rollout.confirmed == 0) {
      End(rollout, RolloutState::kFailed, "no device confirmed", kEventFailed, kDistributionAuthor,
          now, events);
    } else {
      End(rollout, RolloutState::kCompleted,
          absl::StrCat(rollout.confirmed, " of ", rollout.target_count, " devices confirmed"),
          kEventCompleted, kDistributionAuthor, now, events);
    }
  }
}

absl::Status Pause(Rollout& rollout, absl::string_view reason, absl::string_view author,
                   absl::Time now, std::vector<RolloutEvent>& events) {
  if (rollout.state != RolloutState::kRunning) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "ROLLOUT_NOT_RUNNING",
                           absl::StrCat("the rollout is ", NameOf(rollout.state)));
  }
  PauseNow(rollout, std::string(reason), author, now, events);
  return absl::OkStatus();
}

absl::Status Resume(Rollout& rollout, absl::string_view author, absl::Time now,
                    std::vector<RolloutEvent>& events) {
  if (rollout.state != RolloutState::kPaused) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "ROLLOUT_NOT_PAUSED",
                           absl::StrCat("the rollout is ", NameOf(rollout.state)));
  }
  // The time of the pause is no device's fault.
  rollout.stage_open_time += now - rollout.pause_time.value_or(now);
  rollout.pause_time.reset();
  rollout.state = RolloutState::kRunning;
  rollout.state_reason.clear();
  AddEvent(rollout, kEventResumed, "", author, now, events);
  if (IsShort(rollout, now)) {
    OpenStage(rollout, rollout.stage + 1, now, events);
  }
  Settle(rollout, now, events);
  return absl::OkStatus();
}

absl::Status Cancel(Rollout& rollout, absl::string_view reason, absl::string_view author,
                    absl::Time now, std::vector<RolloutEvent>& events) {
  if (!IsActive(rollout)) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition, "ROLLOUT_DONE",
                           absl::StrCat("the rollout is ", NameOf(rollout.state)));
  }
  End(rollout, RolloutState::kCancelled, std::string(reason), kEventCancelled, author, now, events);
  return absl::OkStatus();
}

}  // namespace fieldloop::distribution
