// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_STORAGE_INSTANCE_LOCK_H_
#define FIELDLOOP_SERVICES_BUILD_STORAGE_INSTANCE_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace fieldloop::build {

// Says which process this is, and that it is the only one on its data directory: the name is made
// once and stays in the file `instance`, so that after a crash a process knows which builds were
// its own.
class InstanceLock {
 public:
  // UNAVAILABLE if another process holds `data_dir`, or if the file cannot be made.
  static absl::StatusOr<std::unique_ptr<InstanceLock>> Acquire(const std::string& data_dir);
  // Lets go.
  ~InstanceLock();
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;

  const std::string& name() const { return name_; }

 private:
  InstanceLock(int file, std::string name);
  const int file_;
  const std::string name_;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_STORAGE_INSTANCE_LOCK_H_
