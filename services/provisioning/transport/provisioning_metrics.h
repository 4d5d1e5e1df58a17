// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROVISIONING_METRICS_H_
#define FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROVISIONING_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "absl/status/status.h"
#include "services/common/access/access.h"
#include "services/provisioning/domain/provisioning_store.h"

namespace fieldloop::provisioning {

// What operators watch. Label `result` is "ok", or in lower case the reason of the error or, if it
// has none, its code. Thread-safe.
//   fieldloop_provisioning_enrollments_total{result}
//   fieldloop_provisioning_renewals_total{result}
//   fieldloop_provisioning_access_checks_total{result}
//   fieldloop_provisioning_devices{state}
//   fieldloop_provisioning_enrollment_tokens{state}
class ProvisioningMetrics {
 public:
  // `registry` must outlive this object.
  explicit ProvisioningMetrics(prometheus::Registry& registry);

  void CountEnrollment(const absl::Status& status);
  void CountRenewal(const absl::Status& status);
  void CountAccessCheck(const absl::Status& status);
  void SetInventory(const Inventory& inventory);

 private:
  prometheus::Family<prometheus::Counter>& enrollments_;
  prometheus::Family<prometheus::Counter>& renewals_;
  prometheus::Family<prometheus::Counter>& access_checks_;
  prometheus::Family<prometheus::Gauge>& devices_;
  prometheus::Family<prometheus::Gauge>& enrollment_tokens_;
};

// Counts the checks of another Access.
class CountedAccess final : public Access {
 public:
  // Both must outlive this object.
  CountedAccess(Access& access, ProvisioningMetrics& metrics);
  absl::StatusOr<Grant> Check(const Caller& caller, absl::string_view resource, Role role) override;

 private:
  Access& access_;
  ProvisioningMetrics& metrics_;
};

}  // namespace fieldloop::provisioning

#endif  // FIELDLOOP_SERVICES_PROVISIONING_TRANSPORT_PROVISIONING_METRICS_H_
