// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_SERVICE_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_SERVICE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "services/common/clock/clock.h"
#include "services/common/sync/change_signal.h"
#include "services/evaluation/domain/cycle.h"
#include "services/evaluation/domain/neighbours.h"
#include "services/evaluation/domain/policy.h"
#include "services/evaluation/domain/stores.h"
#include "services/evaluation/domain/telemetry.h"

namespace fieldloop::evaluation {

// What people can do with policies and cycles. Thread-safe.
class CycleService {
 public:
  // All must outlive this object.
  CycleService(CycleStore& cycles, PolicyStore& policies, ModelRegistry& models,
               PolicyParser parse_policy, const Clock& clock, ChangeSignal& changed,
               Telemetry& telemetry);

  // INVALID_ARGUMENT naming line and key.
  absl::StatusOr<PolicyVersion> SetPolicy(const std::string& project, const std::string& yaml);
  absl::StatusOr<PolicyVersion> GetPolicy(const std::string& project);

  // FAILED_PRECONDITION, reason POLICY_MISSING, CHAMPION_MISSING or CYCLE_ACTIVE.
  absl::StatusOr<Cycle> Create(const std::string& project, const std::string& author,
                               const std::string& reason, const std::string& request_id);
  absl::StatusOr<Cycle> Get(const std::string& project, std::int64_t number);
  absl::StatusOr<Page<Cycle>> List(const std::string& project, int page_size,
                                   const std::string& page_token);
  // FAILED_PRECONDITION, reason CYCLE_NOT_WAITING.
  absl::StatusOr<Cycle> Approve(const std::string& project, std::int64_t number,
                                const std::string& author, const std::string& comment);
  // FAILED_PRECONDITION, reason CYCLE_DONE.
  absl::StatusOr<Cycle> Cancel(const std::string& project, std::int64_t number,
                               const std::string& author, const std::string& reason);

 private:
  absl::StatusOr<Cycle> Changed(absl::StatusOr<Cycle> cycle);

  CycleStore& cycles_;
  PolicyStore& policies_;
  ModelRegistry& models_;
  const PolicyParser parse_policy_;
  const Clock& clock_;
  ChangeSignal& changed_;
  Telemetry& telemetry_;
};

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_CYCLE_SERVICE_H_
