// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_REGISTRY_H_
#define FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_REGISTRY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/common/sync/change_signal.h"
#include "services/provisioning/domain/page.h"
#include "services/provisioning/domain/provisioning_store.h"

namespace fieldloop::provisioning {

// What operators can do with enrolled devices. Thread-safe.
class DeviceRegistry {
 public:
  // Both must outlive this object. `changes` is notified of every change.
  DeviceRegistry(ProvisioningStore& store, ChangeSignal& changes);

  // NOT_FOUND.
  absl::StatusOr<Device> Get(absl::string_view project, absl::string_view id);
  // INVALID_ARGUMENT.
  absl::StatusOr<Page<Device>> List(absl::string_view project, int page_size,
                                    absl::string_view page_token);
  // INVALID_ARGUMENT, NOT_FOUND.
  absl::StatusOr<Device> SetAttributes(absl::string_view project, absl::string_view id,
                                       const Attributes& attributes);
  // INVALID_ARGUMENT if `reason` is missing or bad; NOT_FOUND.
  absl::StatusOr<Device> Revoke(absl::string_view project, absl::string_view id,
                                absl::string_view reason);
  // A batch of the devices that changed after `revision`, in the order of their revisions; empty
  // when there is none.
  absl::StatusOr<std::vector<Device>> ChangedAfter(std::int64_t revision);

 private:
  ProvisioningStore& store_;
  ChangeSignal& changes_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_DOMAIN_DEVICE_REGISTRY_H_
