// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_COMPONENT_H_
#define FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_COMPONENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fieldloop::distribution {

// What a component of a device is. Numbers as in fieldloop.agent.v1.ComponentKind.
enum class ComponentKind : std::uint8_t {
  kModel = 1,
  kFirmware = 2,
  kConfiguration = 3,
};

// "model", "firmware" or "configuration", and back.
absl::string_view NameOf(ComponentKind kind);
std::optional<ComponentKind> ComponentKindOf(absl::string_view name);

// One component of a release.
struct Component {
  ComponentKind kind = ComponentKind::kModel;
  std::string digest;   // Hex.
  std::string version;  // For people.

  friend bool operator==(const Component&, const Component&) = default;
};

// One component of a device, as it reported.
struct ComponentState {
  ComponentKind kind = ComponentKind::kModel;
  std::string digest;  // Hex; empty: none.
  bool confirmed = false;
  std::uint64_t release_sequence = 0;

  friend bool operator==(const ComponentState&, const ComponentState&) = default;
};

// The component of this kind; one without a digest if there is none.
ComponentState Find(const std::vector<ComponentState>& components, ComponentKind kind);

// The digest of the model among the components of a release; "" if there is none.
std::string ModelDigestOf(const std::vector<Component>& components);

// How a device stands to the set of a release.
enum class SetState : std::uint8_t {
  kOther,      // It lacks one of them at least.
  kTrial,      // It runs all of them, and has not confirmed all.
  kConfirmed,  // It has confirmed all of them.
};

// Looks at the kinds that the release has; what else the device runs is not asked.
SetState Compare(const std::vector<Component>& release,
                 const std::vector<ComponentState>& components);

}  // namespace fieldloop::distribution

#endif  // FIELDLOOP_SERVICES_DISTRIBUTION_DOMAIN_COMPONENT_H_
