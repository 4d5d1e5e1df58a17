// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/device_metrics.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"

namespace fieldloop::distribution {
namespace {

prometheus::Counter& Counter(prometheus::Registry& registry, const std::string& name,
                             const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

DeviceMetrics::DeviceMetrics(prometheus::Registry& registry)
    : connections(prometheus::BuildGauge()
                      .Name("fieldloop_device_connections")
                      .Help("Connections of devices that are open.")
                      .Register(registry)
                      .Add({})),
      check_ins(Counter(registry, "fieldloop_device_check_ins_total", "Check-ins answered.")),
      offers(Counter(registry, "fieldloop_device_offers_total", "Update offers sent.")),
      sent_bytes(Counter(registry, "fieldloop_device_sent_bytes_total",
                         "Bytes of frames sent to devices, before TLS.")),
      received_bytes(Counter(registry, "fieldloop_device_received_bytes_total",
                             "Bytes of frames received from devices, after TLS.")),
      artifact_bytes(Counter(registry, "fieldloop_device_artifact_bytes_total",
                             "Bytes of artifacts sent to devices.")),
      uplinks_(prometheus::BuildCounter()
                   .Name("fieldloop_device_uplinks_total")
                   .Help("Uplinks of devices by kind and result.")
                   .Register(registry)),
      handshakes_(prometheus::BuildCounter()
                      .Name("fieldloop_device_handshakes_total")
                      .Help("TLS handshakes of devices by result.")
                      .Register(registry)),
      certificates_(prometheus::BuildCounter()
                        .Name("fieldloop_device_certificates_total")
                        .Help("Enrolments and renewals by result.")
                        .Register(registry)),
      fleet_(prometheus::BuildGauge()
                 .Name("fieldloop_fleet_devices")
                 .Help("Devices by the model that they report; the largest 20 by name.")
                 .Register(registry)),
      rollouts_(prometheus::BuildGauge()
                    .Name("fieldloop_rollouts")
                    .Help("Rollouts by state.")
                    .Register(registry)),
      rollout_devices_(prometheus::BuildGauge()
                           .Name("fieldloop_rollout_devices")
                           .Help("Devices of the rollouts that are not done, by how far they are.")
                           .Register(registry)),
      oldest_stage_(prometheus::BuildGauge()
                        .Name("fieldloop_rollouts_oldest_stage_seconds")
                        .Help("How long the running rollout that waits longest has been in its "
                              "stage.")
                        .Register(registry)
                        .Add({})) {
  // All series are there from the start, so that a rate over them has a first value.
  for (const char* kind : {"state", "update", "sketch", "sample"}) {
    for (const char* result : {"acked", "rejected", "unavailable"}) {
      uplinks_.Add({{"kind", kind}, {"result", result}});
    }
  }
  for (const char* result : {"ok", "resumed", "expired", "failed", "overloaded"}) {
    handshakes_.Add({{"result", result}});
  }
  for (const char* kind : {"enroll", "renew"}) {
    for (const char* result : {"ok", "refused", "unavailable"}) {
      certificates_.Add({{"kind", kind}, {"result", result}});
    }
  }
  SetActiveRollouts({}, absl::UnixEpoch());
}

void DeviceMetrics::CountUplink(const std::string& kind, const std::string& result) {
  uplinks_.Add({{"kind", kind}, {"result", result}}).Increment();
}

void DeviceMetrics::CountHandshake(const std::string& result) {
  handshakes_.Add({{"result", result}}).Increment();
}

void DeviceMetrics::CountCertificate(const std::string& kind, const std::string& result) {
  certificates_.Add({{"kind", kind}, {"result", result}}).Increment();
}

void DeviceMetrics::SetFleet(const std::vector<ModelCount>& counts) {
  std::map<std::pair<std::string, std::string>, prometheus::Gauge*> gauges;
  for (const ModelCount& count : counts) {
    prometheus::Gauge& gauge = fleet_.Add({{"project", count.project}, {"model", count.model}});
    gauge.Set(static_cast<double>(count.devices));
    gauges[{count.project, count.model}] = &gauge;
  }
  for (const auto& [key, gauge] : fleet_gauges_) {
    if (gauges.find(key) == gauges.end()) {
      fleet_.Remove(gauge);
    }
  }
  fleet_gauges_ = std::move(gauges);
}

void DeviceMetrics::SetRollouts(RolloutState state, double count) {
  const absl::string_view name = NameOf(state);
  rollouts_.Add({{"state", absl::AsciiStrToLower(name)}}).Set(count);
}

void DeviceMetrics::SetActiveRollouts(const std::vector<Rollout>& active, absl::Time now) {
  int waiting = 0;
  int offered = 0;
  int confirmed = 0;
  int failed = 0;
  int missed = 0;
  absl::Duration oldest = absl::ZeroDuration();
  for (const Rollout& rollout : active) {
    waiting += rollout.target_count - rollout.offered - rollout.missed;
    offered += rollout.offered - rollout.confirmed - rollout.failed;
    confirmed += rollout.confirmed;
    failed += rollout.failed;
    missed += rollout.missed;
    if (rollout.state == RolloutState::kRunning) {
      oldest = std::max(oldest, now - rollout.stage_open_time);
    }
  }
  const auto set = [this](const char* state, int count) {
    rollout_devices_.Add({{"state", state}}).Set(count);
  };
  set("waiting", waiting);
  set("offered", offered);
  set("confirmed", confirmed);
  set("failed", failed);
  set("missed", missed);
  oldest_stage_.Set(absl::ToDoubleSeconds(oldest));
}

}  // namespace fieldloop::distribution
