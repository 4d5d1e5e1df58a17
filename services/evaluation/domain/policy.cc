// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/policy.h"

#include <set>

namespace fieldloop::evaluation {

std::vector<StagePolicy> DefaultStages() {
  std::vector<StagePolicy> stages(3);
  stages[0].percent = 5;
  stages[1].percent = 25;
  return stages;
}

const char* GateTestName(GateTest test) {
  switch (test) {
    case GateTest::kSuperior:
      return "superior";
    case GateTest::kNotWorse:
      return "not_worse";
    case GateTest::kAtLeast:
      return "at_least";
  }
  return "";
}

std::vector<std::string> SliceKeys(const std::vector<GateRule>& gate) {
  std::set<std::string> keys;
  for (const GateRule& rule : gate) {
    const std::size_t equals = rule.slice.find('=');
    if (equals != std::string::npos && rule.slice.substr(0, equals) != "source") {
      keys.insert(rule.slice.substr(0, equals));
    }
  }
  return {keys.begin(), keys.end()};
}

}  // namespace fieldloop::evaluation
