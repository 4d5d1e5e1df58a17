// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_POLICY_POLICY_YAML_H_
#define FIELDLOOP_SERVICES_EVALUATION_POLICY_POLICY_YAML_H_

#include <string>

#include "absl/status/statusor.h"
#include "services/evaluation/domain/policy.h"

namespace fieldloop::evaluation {

// Reads a policy strictly; docs/policy.md lists every key. INVALID_ARGUMENT names the line, the key
// and what was expected: "line 7: gate[0].metrik: unknown key, want one of slice, metric, ...".
absl::StatusOr<Policy> ParsePolicy(const std::string& yaml);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_POLICY_POLICY_YAML_H_
