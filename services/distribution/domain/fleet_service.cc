// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/fleet_service.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::distribution {
namespace {

constexpr std::size_t kDigestHexSize = 64;

}  // namespace

FleetService::FleetService(FleetStore& store, const DeviceTable& devices, const Clock& clock)
    : store_(store), devices_(devices), clock_(clock) {}

absl::Status FleetService::RecordState(DeviceState state) {
  state.last_seen_time = clock_.Now();
  {
    const MutexLock lock(mutex_);
    if (const auto live = presence_.find(state.device); live != presence_.end()) {
      state.connected_until = live->second.presence.connected_until;
    }
  }
  return store_.PutState(state);
}

void FleetService::Seen(const std::string& device, absl::Time connected_until) {
  const absl::Time now = clock_.Now();
  const MutexLock lock(mutex_);
  presence_[device] = {
      .presence = {.device = device, .last_seen_time = now, .connected_until = connected_until},
      .dirty = true};
}

void FleetService::Gone(const std::string& device) {
  const MutexLock lock(mutex_);
  if (const auto live = presence_.find(device); live != presence_.end()) {
    live->second.presence.connected_until = absl::UnixEpoch();
    live->second.dirty = true;
  }
}

absl::Status FleetService::FlushPresence() {
  std::vector<Presence> dirty;
  {
    const MutexLock lock(mutex_);
    for (auto& [device, live] : presence_) {
      if (live.dirty) {
        dirty.push_back(live.presence);
        live.dirty = false;
      }
    }
  }
  if (dirty.empty()) {
    return absl::OkStatus();
  }
  const absl::Status status = store_.PutPresence(dirty);
  const MutexLock lock(mutex_);
  for (const Presence& written : dirty) {
    const auto live = presence_.find(written.device);
    if (live == presence_.end() || live->second.dirty) {
      continue;
    }
    if (!status.ok()) {
      live->second.dirty = true;
    } else if (written.connected_until == absl::UnixEpoch()) {
      presence_.erase(live);
    }
  }
  return status;
}

void FleetService::ApplyPresence(DeviceState& state) const {
  const MutexLock lock(mutex_);
  const auto live = presence_.find(state.device);
  // A device that another replica heard later is with that one.
  if (live != presence_.end() && live->second.presence.last_seen_time >= state.last_seen_time) {
    state.last_seen_time = live->second.presence.last_seen_time;
    state.connected_until = live->second.presence.connected_until;
  }
}

absl::StatusOr<DeviceState> FleetService::GetState(const std::string& device) {
  FIELDLOOP_ASSIGN_OR_RETURN(DeviceState state, store_.GetState(device));
  ApplyPresence(state);
  return state;
}

absl::StatusOr<DeviceStatePage> FleetService::ListStates(const std::string& project,
                                                         const std::string& model_digest,
                                                         int page_size,
                                                         absl::string_view page_token) {
  if (!model_digest.empty() && model_digest.size() != kDigestHexSize) {
    return absl::InvalidArgumentError(absl::StrCat("model_digest: got ", model_digest.size(),
                                                   " characters, want 64 hex digits or nothing"));
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  DeviceStatePage page;
  FIELDLOOP_ASSIGN_OR_RETURN(page.states,
                             store_.ListStates(project, model_digest, after, size + 1));
  if (page.states.size() > static_cast<std::size_t>(size)) {
    page.states.resize(static_cast<std::size_t>(size));
    page.next_page_token = EncodePageToken(page.states.back().device);
  }
  for (DeviceState& state : page.states) {
    ApplyPresence(state);
  }
  return page;
}

absl::StatusOr<FleetSummary> FleetService::Summarize(const std::string& project) {
  constexpr int kRows = 1000;
  FleetSummary summary;
  summary.device_count = devices_.ActiveCount(project);
  std::map<std::string, ModelShare> shares;
  std::string after;
  while (true) {
    FIELDLOOP_ASSIGN_OR_RETURN(std::vector<DeviceState> states,
                               store_.ListStates(project, "", after, kRows));
    for (DeviceState& state : states) {
      const std::optional<Device> device = devices_.Find(state.device);
      if (device.has_value() && device->revoked) {
        continue;
      }
      ApplyPresence(state);
      summary.connected_count += IsConnected(state) ? 1 : 0;
      const ComponentState model = Find(state.components, ComponentKind::kModel);
      ModelShare& share = shares[model.digest];
      // A device without a model has nothing to confirm.
      (model.confirmed || model.digest.empty() ? share.confirmed_count : share.trial_count) += 1;
    }
    if (states.size() < static_cast<std::size_t>(kRows)) {
      break;
    }
    after = states.back().device;
  }
  for (auto& [digest, share] : shares) {
    share.model_digest = digest;
    summary.models.push_back(share);
  }
  return summary;
}

absl::StatusOr<FleetSettings> FleetService::GetSettings(const std::string& project) {
  const absl::Time now = clock_.Now();
  {
    const MutexLock lock(mutex_);
    const auto cached = settings_.find(project);
    if (cached != settings_.end() && now - cached->second.read_time < kSettingsAge) {
      return cached->second.settings;
    }
  }
  FIELDLOOP_ASSIGN_OR_RETURN(const std::optional<FleetSettings> stored,
                             store_.GetSettings(project));
  FleetSettings settings = stored.value_or(FleetSettings{});
  FIELDLOOP_RETURN_IF_ERROR(NormalizeSettings(settings));
  const MutexLock lock(mutex_);
  CachedSettings& cached = settings_[project];
  // A reader that was overtaken by an update must not bring the old version back.
  if (settings.version >= cached.settings.version) {
    cached = {.settings = settings, .read_time = now};
  }
  return cached.settings;
}

absl::StatusOr<FleetSettings> FleetService::UpdateSettings(const std::string& project,
                                                           FleetSettings wanted) {
  FIELDLOOP_RETURN_IF_ERROR(NormalizeSettings(wanted));
  FleetSettings initial;
  FIELDLOOP_RETURN_IF_ERROR(NormalizeSettings(initial));
  FIELDLOOP_ASSIGN_OR_RETURN(const FleetSettings settings,
                             store_.ChangeSettings(project, initial, [&](FleetSettings& current) {
                               ReplaceSettings(current, wanted);
                             }));
  const MutexLock lock(mutex_);
  settings_[project] = {.settings = settings, .read_time = clock_.Now()};
  return settings;
}

bool FleetService::IsConnected(const DeviceState& state) const {
  return state.connected_until > clock_.Now();
}

}  // namespace fieldloop::distribution
