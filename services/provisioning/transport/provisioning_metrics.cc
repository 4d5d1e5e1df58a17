// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/provisioning/transport/provisioning_metrics.h"

#include <string>

#include "absl/strings/ascii.h"
#include "services/common/status/error_reason.h"

namespace fieldloop::provisioning {
namespace {

prometheus::Family<prometheus::Counter>& Counter(prometheus::Registry& registry,
                                                 const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<prometheus::Gauge>& Gauge(prometheus::Registry& registry,
                                             const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

std::string ResultOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return absl::AsciiStrToLower(reason.empty() ? absl::StatusCodeToString(status.code()) : reason);
}

}  // namespace

ProvisioningMetrics::ProvisioningMetrics(prometheus::Registry& registry)
    : enrollments_(Counter(registry, "fieldloop_provisioning_enrollments_total",
                           "Attempts of devices to enrol, by result")),
      renewals_(Counter(registry, "fieldloop_provisioning_renewals_total",
                        "Renewals of device certificates, by result")),
      access_checks_(Counter(registry, "fieldloop_provisioning_access_checks_total",
                             "Decisions about who may do what, by result")),
      devices_(Gauge(registry, "fieldloop_provisioning_devices", "Devices by state")),
      enrollment_tokens_(Gauge(registry, "fieldloop_provisioning_enrollment_tokens",
                               "Enrolment tokens by state")) {
  // The usual series are there from the start, so that a rate over them has a first value.
  for (const char* result : {"ok", "unavailable", "token_unknown", "token_used", "token_expired",
                             "token_revoked", "hardware_mismatch", "device_exists"}) {
    enrollments_.Add({{"result", result}});
  }
  for (const char* result : {"ok", "unavailable", "device_revoked"}) {
    renewals_.Add({{"result", result}});
  }
  for (const char* result : {"ok", "unauthenticated", "permission_denied"}) {
    access_checks_.Add({{"result", result}});
  }
}

void ProvisioningMetrics::CountEnrollment(const absl::Status& status) {
  enrollments_.Add({{"result", ResultOf(status)}}).Increment();
}

void ProvisioningMetrics::CountRenewal(const absl::Status& status) {
  renewals_.Add({{"result", ResultOf(status)}}).Increment();
}

void ProvisioningMetrics::CountAccessCheck(const absl::Status& status) {
  access_checks_.Add({{"result", ResultOf(status)}}).Increment();
}

void ProvisioningMetrics::SetInventory(const Inventory& inventory) {
  const auto set = [](prometheus::Family<prometheus::Gauge>& family, const char* state,
                      std::int64_t count) {
    family.Add({{"state", state}}).Set(static_cast<double>(count));
  };
  set(devices_, "active", inventory.active_devices);
  set(devices_, "revoked", inventory.revoked_devices);
  set(enrollment_tokens_, "active", inventory.active_tokens);
  set(enrollment_tokens_, "used", inventory.used_tokens);
  set(enrollment_tokens_, "expired", inventory.expired_tokens);
  set(enrollment_tokens_, "revoked", inventory.revoked_tokens);
}

CountedAccess::CountedAccess(Access& access, ProvisioningMetrics& metrics)
    : access_(access), metrics_(metrics) {}

absl::StatusOr<Grant> CountedAccess::Check(const Caller& caller, absl::string_view resource,
                                           Role role) {
  absl::StatusOr<Grant> grant = access_.Check(caller, resource, role);
  metrics_.CountAccessCheck(grant.status());
  return grant;
}

}  // namespace fieldloop::provisioning
