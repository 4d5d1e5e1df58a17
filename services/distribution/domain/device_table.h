// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_DEVICE_TABLE_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_DEVICE_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "services/common/sync/mutex.h"
#include "services/distribution/domain/device.h"

namespace fieldloop::distribution {

// The devices of the installation as provisioning last told, in memory: the answer to "is it still
// trusted" at every session. Thread-safe.
class DeviceTable {
 public:
  DeviceTable() = default;
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;

  // Called, without a lock held, for each device that becomes revoked. Set it before other threads
  // call Apply; what it refers to must outlive the table's last Apply.
  void OnRevoked(std::function<void(const std::string& device)> callback);

  // Takes in one device; an older revision than the known one changes nothing.
  void Apply(const Device& device);

  std::optional<Device> Find(const std::string& name) const;
  // Devices of a project that are not revoked.
  int ActiveCount(absl::string_view project) const;
  // Newest revision that the watch has delivered in order; 0 at first. See Advance.
  std::int64_t revision() const;
  // Notes that everything up to `revision` has been applied.
  void Advance(std::int64_t revision);

 private:
  mutable Mutex mutex_;
  std::function<void(const std::string&)> on_revoked_;
  std::unordered_map<std::string, Device> devices_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int, std::less<>> active_ ABSL_GUARDED_BY(mutex_);  // By project.
  std::int64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_DEVICE_TABLE_H_
