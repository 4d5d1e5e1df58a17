// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_PACKAGER_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_PACKAGER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/recipe.h"

namespace fieldloop::build {

// What a model file says of itself.
struct CarriedImpulse {
  ImpulseRecipe recipe;  // Complete; its learning is the defaults.
  std::vector<std::string> classes;
};

// Makes files that others trained fit for devices. Thread-safe.
class ModelPackager {
 public:
  ModelPackager() = default;
  ModelPackager(const ModelPackager&) = delete;
  ModelPackager& operator=(const ModelPackager&) = delete;
  virtual ~ModelPackager() = default;

  // The impulse in the file's metadata. NOT_FOUND if there is none; INVALID_ARGUMENT if there is
  // something else.
  virtual absl::StatusOr<CarriedImpulse> Read(absl::string_view file) = 0;

  // Returns the file with all metadata that a device needs. What it lacks is made by running it on
  // the training side of the finished training set in `data_directory`, or without windows if that
  // is empty; see packaging/package.h. INVALID_ARGUMENT says what does not fit.
  virtual absl::StatusOr<std::string> Package(absl::string_view file, const ImpulseRecipe& recipe,
                                              const std::vector<std::string>& classes,
                                              const std::string& data_directory) = 0;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_PACKAGER_H_
