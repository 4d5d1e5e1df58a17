// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_GATE_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_GATE_H_

#include <string>
#include <vector>

#include "services/evaluation/domain/evaluation.h"
#include "services/evaluation/domain/policy.h"

namespace fieldloop::evaluation {

enum class Verdict { kPass = 1, kFail = 2, kInconclusive = 3 };

struct GateResult {
  std::string rule;  // "source=device: balanced_accuracy superior".
  Verdict verdict = Verdict::kInconclusive;
  std::string explanation;

  friend bool operator==(const GateResult&, const GateResult&) = default;
};

// Judges one rule. With the interval [low, high] of alpha to each side, of the paired difference to
// the baseline (or of the metric itself for at_least), and the bound margin, -margin or value: PASS
// if low is above the bound, FAIL if high is below it, INCONCLUSIVE in between or with fewer than
// kLeastGroups groups, then saying about how much more it takes. A slice or a class that is missing
// FAILS: what was not looked at is not proven.
GateResult JudgeRule(const GateRule& rule, const Evaluation& evaluation);

std::vector<GateResult> JudgeGate(const std::vector<GateRule>& gate, const Evaluation& evaluation);

// FAIL if any rule failed, else INCONCLUSIVE if any is, else PASS.
Verdict Overall(const std::vector<GateResult>& results);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_GATE_H_
