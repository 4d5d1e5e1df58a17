// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/domain/device_registry.h"

#include <utility>

#include "services/common/status/status_macros.h"

namespace fieldloop::provisioning {
namespace {

constexpr int kBatch = 500;

}  // namespace

DeviceRegistry::DeviceRegistry(ProvisioningStore& store, ChangeSignal& changes)
    : store_(store), changes_(changes) {}

absl::StatusOr<Device> DeviceRegistry::Get(absl::string_view project, absl::string_view id) {
  return store_.GetDevice(project, id);
}

absl::StatusOr<Page<Device>> DeviceRegistry::List(absl::string_view project, int page_size,
                                                  absl::string_view page_token) {
  FIELDLOOP_ASSIGN_OR_RETURN(const int size, PageSize(page_size));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string after, DecodePageToken(page_token));
  FIELDLOOP_ASSIGN_OR_RETURN(std::vector<Device> rows,
                             store_.ListDevices(project, after, size + 1));
  return CutPage(std::move(rows), size, [](const Device& device) { return device.id; });
}

absl::StatusOr<Device> DeviceRegistry::SetAttributes(absl::string_view project,
                                                     absl::string_view id,
                                                     const Attributes& attributes) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateAttributes(attributes));
  FIELDLOOP_ASSIGN_OR_RETURN(Device device, store_.UpdateDevice(project, id, [&](Device& changed) {
    changed.attributes = attributes;
    return absl::OkStatus();
  }));
  changes_.Notify();
  return device;
}

absl::StatusOr<Device> DeviceRegistry::Revoke(absl::string_view project, absl::string_view id,
                                              absl::string_view reason) {
  if (reason.empty()) {
    return absl::InvalidArgumentError("reason: got nothing, want why the device is revoked");
  }
  FIELDLOOP_RETURN_IF_ERROR(ValidateText("reason", reason));
  FIELDLOOP_ASSIGN_OR_RETURN(Device device, store_.UpdateDevice(project, id, [&](Device& changed) {
    RevokeDevice(changed, reason);
    return absl::OkStatus();
  }));
  changes_.Notify();
  return device;
}

absl::StatusOr<std::vector<Device>> DeviceRegistry::ChangedAfter(std::int64_t revision) {
  return store_.DevicesAfter(revision, kBatch);
}

}  // namespace fieldloop::provisioning
