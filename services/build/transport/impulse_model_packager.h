// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_IMPULSE_MODEL_PACKAGER_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_IMPULSE_MODEL_PACKAGER_H_

#include <string>
#include <vector>

#include "services/build/domain/model_packager.h"

namespace fieldloop::build {

// Packages with the code that devices run, agent/impulse.
class ImpulseModelPackager final : public ModelPackager {
 public:
  absl::StatusOr<CarriedImpulse> Read(absl::string_view file) override;
  absl::StatusOr<std::string> Package(absl::string_view file, const ImpulseRecipe& recipe,
                                      const std::vector<std::string>& classes,
                                      const std::string& data_directory) override;
};

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_IMPULSE_MODEL_PACKAGER_H_
