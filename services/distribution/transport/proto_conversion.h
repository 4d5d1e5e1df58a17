// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_PROTO_CONVERSION_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_PROTO_CONVERSION_H_

#include <fieldloop/distribution/v1/distribution_service.pb.h>

#include "absl/status/statusor.h"
#include "services/distribution/domain/device_table.h"
#include "services/distribution/domain/fleet_service.h"
#include "services/distribution/domain/rollout.h"

namespace fieldloop::distribution {

DeviceSelector FromProto(const v1::DeviceSelector& proto);
RolloutPlan FromProto(const v1::RolloutPlan& proto);
// release, target and plan: the rest is output only.
Rollout FromProto(const v1::Rollout& proto);
FleetSettings FromProto(const v1::FleetSettings& proto);

v1::Rollout ToProto(const Rollout& rollout);
v1::RolloutDevice ToProto(const RolloutDevice& device);
v1::RolloutEvent ToProto(const RolloutEvent& event);
v1::FleetSettings ToProto(const std::string& name, const FleetSettings& settings);
// `device` is what provisioning says of it, or null.
v1::DeviceState ToProto(const DeviceState& state, bool connected, const Device* device);
v1::GetFleetSummaryResponse ToProto(const FleetSummary& summary);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_TRANSPORT_PROTO_CONVERSION_H_
