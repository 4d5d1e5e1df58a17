// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_TEXT_ENCODING_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_TEXT_ENCODING_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "services/distribution/domain/component.h"
#include "services/distribution/domain/device.h"
#include "services/distribution/domain/rollout.h"

// Small structures as text columns, readable in a database shell. What was encoded decodes to
// itself; text of another form decodes to what of it can be read.
namespace fieldloop::distribution {

// A line each: "attribute site hall\0401" or "hardware posix-x86_64", escaped as in C.
std::string EncodeSelector(const DeviceSelector& selector);
DeviceSelector DecodeSelector(absl::string_view text);

// A line each: "percent confirm_percent soak_seconds".
std::string EncodeStages(const std::vector<RolloutStage>& stages);
std::vector<RolloutStage> DecodeStages(absl::string_view text);

// A line each: "model 0a1b... 7".
std::string EncodeComponents(const std::vector<Component>& components);
std::vector<Component> DecodeComponents(absl::string_view text);

// A line each: "configuration 0a1b... 1 7": digest, confirmed, sequence of the release.
std::string EncodeComponentStates(const std::vector<ComponentState>& components);
std::vector<ComponentState> DecodeComponentStates(absl::string_view text);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_STORAGE_TEXT_ENCODING_H_
