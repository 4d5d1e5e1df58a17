// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/domain/component.h"

namespace fieldloop::distribution {

absl::string_view NameOf(ComponentKind kind) {
  switch (kind) {
    case ComponentKind::kModel:
      return "model";
    case ComponentKind::kFirmware:
      return "firmware";
    case ComponentKind::kConfiguration:
      return "configuration";
  }
  return "";
}

std::optional<ComponentKind> ComponentKindOf(absl::string_view name) {
  for (const ComponentKind kind :
       {ComponentKind::kModel, ComponentKind::kFirmware, ComponentKind::kConfiguration}) {
    if (NameOf(kind) == name) {
      return kind;
    }
  }
  return std::nullopt;
}

ComponentState Find(const std::vector<ComponentState>& components, ComponentKind kind) {
  for (const ComponentState& component : components) {
    if (component.kind == kind) {
      return component;
    }
  }
  ComponentState none;
  none.kind = kind;
  return none;
}

std::string ModelDigestOf(const std::vector<Component>& components) {
  for (const Component& component : components) {
    if (component.kind == ComponentKind::kModel) {
      return component.digest;
    }
  }
  return "";
}

SetState Compare(const std::vector<Component>& release,
                 const std::vector<ComponentState>& components) {
  SetState state = release.empty() ? SetState::kOther : SetState::kConfirmed;
  for (const Component& wanted : release) {
    const ComponentState running = Find(components, wanted.kind);
    if (running.digest != wanted.digest) {
      return SetState::kOther;
    }
    if (!running.confirmed) {
      state = SetState::kTrial;
    }
  }
  return state;
}

}  // namespace fieldloop::distribution
