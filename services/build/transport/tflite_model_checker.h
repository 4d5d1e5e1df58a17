// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TFLITE_MODEL_CHECKER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TFLITE_MODEL_CHECKER_H_

#include <string>
#include <vector>

#include "services/build/domain/model_checker.h"

namespace fieldloop::build {

// Opens models with the code that devices run, agent/impulse.
class TfliteModelChecker final : public ModelChecker {
 public:
  absl::StatusOr<CheckedModel> Check(absl::string_view file, const ImpulseRecipe& recipe,
                                     const std::vector<std::string>& classes) override;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TFLITE_MODEL_CHECKER_H_
