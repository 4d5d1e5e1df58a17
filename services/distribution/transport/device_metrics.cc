// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/transport/device_metrics.h"

#include "absl/strings/ascii.h"

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
      rollouts_(prometheus::BuildGauge()
                    .Name("fieldloop_rollouts")
                    .Help("Rollouts by state.")
                    .Register(registry)) {}

void DeviceMetrics::CountUplink(const std::string& kind, const std::string& result) {
  uplinks_.Add({{"kind", kind}, {"result", result}}).Increment();
}

void DeviceMetrics::CountHandshake(const std::string& result) {
  handshakes_.Add({{"result", result}}).Increment();
}

void DeviceMetrics::CountCertificate(const std::string& kind, const std::string& result) {
  certificates_.Add({{"kind", kind}, {"result", result}}).Increment();
}

void DeviceMetrics::SetRollouts(RolloutState state, double count) {
  const absl::string_view name = NameOf(state);
  rollouts_.Add({{"state", absl::AsciiStrToLower(name)}}).Set(count);
}

}  // namespace fieldloop::distribution
