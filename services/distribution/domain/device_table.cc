// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/device_table.h"

#include <algorithm>
#include <utility>

namespace fieldloop::distribution {

void DeviceTable::OnRevoked(std::function<void(const std::string&)> callback) {
  on_revoked_ = std::move(callback);
}

void DeviceTable::Apply(const Device& device) {
  bool newly_revoked = false;
  {
    const MutexLock lock(mutex_);
    const auto [known, added] = devices_.try_emplace(device.name, device);
    const bool was_active = !added && !known->second.revoked;
    if (!added) {
      if (device.revision < known->second.revision) {
        return;
      }
      known->second = device;
    }
    newly_revoked = device.revoked && (added || was_active);
    int& active = active_[ProjectOf(device.name)];
    active += (device.revoked ? 0 : 1) - (was_active ? 1 : 0);
  }
  if (newly_revoked && on_revoked_) {
    on_revoked_(device.name);
  }
}

std::optional<Device> DeviceTable::Find(const std::string& name) const {
  const MutexLock lock(mutex_);
  const auto found = devices_.find(name);
  return found == devices_.end() ? std::nullopt : std::optional<Device>(found->second);
}

int DeviceTable::ActiveCount(absl::string_view project) const {
  const MutexLock lock(mutex_);
  const auto found = active_.find(std::string(project));
  return found == active_.end() ? 0 : found->second;
}

std::int64_t DeviceTable::revision() const {
  const MutexLock lock(mutex_);
  return revision_;
}

void DeviceTable::Advance(std::int64_t revision) {
  const MutexLock lock(mutex_);
  revision_ = std::max(revision_, revision);
}

}  // namespace fieldloop::distribution
