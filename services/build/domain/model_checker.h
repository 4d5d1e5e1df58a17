// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_CHECKER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_CHECKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/recipe.h"

namespace fieldloop::build {

struct CheckedModel {
  std::int64_t arena_bytes = 0;
  std::string metadata;  // Serialised fieldloop.agent.v1.Impulse.
};

// Opens a model as a device does. Thread-safe.
class ModelChecker {
 public:
  ModelChecker() = default;
  ModelChecker(const ModelChecker&) = delete;
  ModelChecker& operator=(const ModelChecker&) = delete;
  virtual ~ModelChecker() = default;

  // INVALID_ARGUMENT, saying why, if a device would refuse `file`, if it fails its self-test, or if
  // its window, magnitudes, blocks or classes are not those of the recipe.
  virtual absl::StatusOr<CheckedModel> Check(absl::string_view file, const ImpulseRecipe& recipe,
                                             const std::vector<std::string>& classes) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_CHECKER_H_
