// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/distribution/domain/component.h"
#include "services/distribution/domain/device.h"

// Rollouts as plain values, and every rule about them as a function of values and the time. Nothing
// here reads a clock, a database or the network. docs/rollouts.md explains the rules to operators.
namespace fieldloop::distribution {

struct RolloutStage {
  double percent = 0;          // Of the target, above 0 to 100.
  double confirm_percent = 0;  // Of the devices offered, above 0 to 100; 0 is read as 100.
  std::int64_t soak_seconds = 0;

  friend bool operator==(const RolloutStage&, const RolloutStage&) = default;
};

struct RolloutPlan {
  std::vector<RolloutStage> stages;
  double failure_percent = 0;               // 0 is read as 10.
  int failure_count = 0;                    // 0 is read as 1.
  std::int64_t device_timeout_seconds = 0;  // 0 is read as 3600.

  friend bool operator==(const RolloutPlan&, const RolloutPlan&) = default;
};

enum class RolloutState : std::uint8_t {
  kRunning = 1,
  kPaused = 2,
  kCompleted = 3,
  kFailed = 4,
  kCancelled = 5,
};

enum class RolloutDeviceState : std::uint8_t {
  kPending = 1,
  kOffered = 2,
  kDownloading = 3,
  kDownloaded = 4,
  kTrial = 5,
  kConfirmed = 6,
  kFailed = 7,
  kTimedOut = 8,
};

struct Rollout {
  std::string project;      // "projects/{p}".
  std::int64_t number = 0;  // Counts up in the project from 1.
  std::string request_id;
  std::string traceparent;  // Of the call that started it; empty: none is known.
  std::string release;
  DeviceSelector target;
  RolloutPlan plan;
  RolloutState state = RolloutState::kRunning;
  std::string state_reason;
  int stage = 0;
  int target_count = 0;
  int quota = 0;                      // Devices that may be offered in the current stage.
  int offered = 0;                    // Never above quota.
  int confirmed = 0;                  // Of those offered.
  int failed = 0;                     // Of those offered: failed, reverted or silent.
  int missed = 0;                     // Never there to be offered.
  std::string model;                  // Name; empty: the release has none.
  std::vector<Component> components;  // Of the release, by kind.
  std::uint64_t release_sequence = 0;
  absl::Time release_expire_time = absl::InfiniteFuture();
  std::vector<std::string> artifact_digests;  // Hex.
  std::string manifest;                       // Serialised SignedDocument.
  // How long a stage keeps its places for the devices whose turn it is; at least the device timeout
  // and two check-ins.
  absl::Duration turn_timeout;
  absl::Time stage_open_time;
  std::optional<absl::Time> stage_confirm_time;  // When soaking began.
  std::optional<absl::Time> pause_time;
  absl::Time create_time;
  std::optional<absl::Time> end_time;

  friend bool operator==(const Rollout&, const Rollout&) = default;
};

// Cause of a device whose application asks to wait.
inline constexpr char kDeferredCause[] = "DEFERRED";

struct RolloutDevice {
  std::string device;
  int position = 0;  // In the rollout's random order, from 0.
  RolloutDeviceState state = RolloutDeviceState::kPending;
  std::string cause;  // As UpdateCause without its prefix, such as "SELF_TEST", or kDeferredCause.
  int stage = 0;      // In which it was offered.
  std::optional<absl::Time> offer_time;
  absl::Time update_time;

  friend bool operator==(const RolloutDevice&, const RolloutDevice&) = default;
};

// Kinds of events, part of the API.
inline constexpr char kEventCreated[] = "CREATED";
inline constexpr char kEventStageOpened[] = "STAGE_OPENED";
inline constexpr char kEventOffered[] = "OFFERED";
inline constexpr char kEventDeviceState[] = "DEVICE_STATE";
inline constexpr char kEventPaused[] = "PAUSED";
inline constexpr char kEventResumed[] = "RESUMED";
inline constexpr char kEventCompleted[] = "COMPLETED";
inline constexpr char kEventFailed[] = "FAILED";
inline constexpr char kEventCancelled[] = "CANCELLED";

// Author of what nobody asked for.
inline constexpr char kDistributionAuthor[] = "services/distribution";

struct RolloutEvent {
  absl::Time create_time;
  std::string kind;
  std::string device;
  std::string detail;
  int stage = 0;
  int offered = 0;  // Devices offered so far, this event included.
  int quota = 0;
  std::string author;
  // Sequence of the device's report that caused it, so that a repeat is told; see
  // RolloutEdit::HasReport.
  std::optional<std::uint64_t> report_sequence;

  friend bool operator==(const RolloutEvent&, const RolloutEvent&) = default;
};

// How far a device says it is.
enum class UpdatePhase : std::uint8_t {
  kAccepted,
  kDownloaded,
  kTrial,
  kConfirmed,
  kReverted,
  kFailed,
  kDeferred,
};

struct UpdateReport {
  std::uint64_t sequence = 0;
  UpdatePhase phase = UpdatePhase::kAccepted;
  std::string cause;
  std::string active_digest;  // Of the model, in hex; empty: none.
};

// Names of states, part of the API: "RUNNING", "TIMED_OUT".
absl::string_view NameOf(RolloutState state);
absl::string_view NameOf(RolloutDeviceState state);

// Fills in defaults. INVALID_ARGUMENT naming the first bad field.
absl::Status NormalizePlan(RolloutPlan& plan);

// ceil(percent * target_count / 100), at least 1 and at most target_count.
int QuotaOf(double percent, int target_count);

// Offers or may offer again: running or paused.
bool IsActive(const Rollout& rollout);
// Confirmed, failed or timed out: nothing changes it any more.
bool IsDone(const RolloutDevice& device);

// Puts `devices` in the rollout's order: random, and the same for the same rollout.
std::vector<RolloutDevice> OrderDevices(absl::string_view project, std::int64_t number,
                                        std::vector<std::string> devices, absl::Time now);

// Opens stage 0 of a new rollout whose plan, target_count and release are set.
void Start(Rollout& rollout, absl::string_view author, absl::Time now,
           std::vector<RolloutEvent>& events);

// True if the rollout has a place for `device` now. Places of a stage belong to the devices whose
// turn it is; what they leave is open to all once the stage is overdue.
bool MayOffer(const Rollout& rollout, const RolloutDevice& device, absl::Time now);

// Gives `device` a place. FAILED_PRECONDITION, and no change, unless MayOffer.
absl::Status Offer(Rollout& rollout, RolloutDevice& device, absl::Time now,
                   std::vector<RolloutEvent>& events);

// True if an offer made before may be repeated to `device`, in a new session.
bool MayOfferAgain(const Rollout& rollout, const RolloutDevice& device, absl::Time now);

// Takes in what a device reports of its update. It counts as confirmed only when it runs the
// release's model; a release of other components is confirmed by ApplyRunning alone, for a report
// names only the model. A device that is done stays as it is; its report is an event.
void ApplyReport(Rollout& rollout, RolloutDevice& device, const UpdateReport& report,
                 absl::Time now, std::vector<RolloutEvent>& events);

// Takes in what a device runs. It counts as confirmed when it has confirmed all components of the
// release. Changes only devices that were offered.
void ApplyRunning(Rollout& rollout, RolloutDevice& device,
                  const std::vector<ComponentState>& components, absl::Time now,
                  std::vector<RolloutEvent>& events);

// Offers made at or before this time are overdue.
absl::Time OfferDeadline(const Rollout& rollout, absl::Time now);
// Counts an offered device that is not done as timed out.
void TimeOut(Rollout& rollout, RolloutDevice& device, absl::Time now,
             std::vector<RolloutEvent>& events);

// True if the devices that are still pending will not be waited for: the last stage is overdue.
bool PendingAreMissed(const Rollout& rollout, absl::Time now);
// Counts a pending device as missed: timed out, but not against the failure threshold.
void Miss(Rollout& rollout, RolloutDevice& device, absl::Time now,
          std::vector<RolloutEvent>& events);

// Draws the consequences: fails, pauses, opens stages, completes. Call it after every change.
void Settle(Rollout& rollout, absl::Time now, std::vector<RolloutEvent>& events);

// FAILED_PRECONDITION, reason ROLLOUT_NOT_RUNNING.
absl::Status Pause(Rollout& rollout, absl::string_view reason, absl::string_view author,
                   absl::Time now, std::vector<RolloutEvent>& events);
// FAILED_PRECONDITION, reason ROLLOUT_NOT_PAUSED. After a stage that ended short of confirmations
// it opens the next one: resuming is the consent to go on.
absl::Status Resume(Rollout& rollout, absl::string_view author, absl::Time now,
                    std::vector<RolloutEvent>& events);
// FAILED_PRECONDITION, reason ROLLOUT_DONE.
absl::Status Cancel(Rollout& rollout, absl::string_view reason, absl::string_view author,
                    absl::Time now, std::vector<RolloutEvent>& events);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_ROLLOUT_H_
