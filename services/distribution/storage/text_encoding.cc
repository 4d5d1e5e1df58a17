// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/distribution/storage/text_encoding.h"

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace fieldloop::distribution {
namespace {

// Escapes the separators too.
std::string Escape(absl::string_view text) {
  std::string escaped = absl::CEscape(text);
  std::string out;
  for (const char c : escaped) {
    if (c == ' ') {
      out += "\\040";  // Three digits: what follows is never taken for a part of it.
    } else {
      out += c;
    }
  }
  return out;
}

std::string Unescape(absl::string_view text) {
  std::string out;
  return absl::CUnescape(text, &out) ? out : std::string(text);
}

}  // namespace

std::string EncodeSelector(const DeviceSelector& selector) {
  std::string text;
  for (const auto& [key, value] : selector.attributes) {
    absl::StrAppend(&text, "attribute ", Escape(key), " ", Escape(value), "\n");
  }
  for (const std::string& hardware_id : selector.hardware_ids) {
    absl::StrAppend(&text, "hardware ", Escape(hardware_id), "\n");
  }
  return text;
}

DeviceSelector DecodeSelector(absl::string_view text) {
  DeviceSelector selector;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words.size() == 3 && words[0] == "attribute") {
      selector.attributes[Unescape(words[1])] = Unescape(words[2]);
    } else if (words.size() == 2 && words[0] == "hardware") {
      selector.hardware_ids.push_back(Unescape(words[1]));
    }
  }
  return selector;
}

std::string EncodeStages(const std::vector<RolloutStage>& stages) {
  std::string text;
  for (const RolloutStage& stage : stages) {
    // 17 digits give the same double back.
    absl::StrAppend(&text, absl::StrFormat("%.17g %.17g %d\n", stage.percent, stage.confirm_percent,
                                           stage.soak_seconds));
  }
  return text;
}

std::vector<RolloutStage> DecodeStages(absl::string_view text) {
  std::vector<RolloutStage> stages;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    RolloutStage stage;
    if (words.size() == 3 && absl::SimpleAtod(words[0], &stage.percent) &&
        absl::SimpleAtod(words[1], &stage.confirm_percent) &&
        absl::SimpleAtoi(words[2], &stage.soak_seconds)) {
      stages.push_back(stage);
    }
  }
  return stages;
}

std::string EncodeComponents(const std::vector<Component>& components) {
  std::string text;
  for (const Component& component : components) {
    absl::StrAppend(&text, NameOf(component.kind), " ", component.digest, " ",
                    Escape(component.version), "\n");
  }
  return text;
}

std::vector<Component> DecodeComponents(absl::string_view text) {
  std::vector<Component> components;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    const std::optional<ComponentKind> kind = ComponentKindOf(words[0]);
    if (words.size() == 3 && kind.has_value()) {
      components.push_back(
          {.kind = *kind, .digest = std::string(words[1]), .version = Unescape(words[2])});
    }
  }
  return components;
}

std::string EncodeComponentStates(const std::vector<ComponentState>& components) {
  std::string text;
  for (const ComponentState& component : components) {
    absl::StrAppend(&text, NameOf(component.kind), " ", component.digest, " ",
                    component.confirmed ? 1 : 0, " ", component.release_sequence, "\n");
  }
  return text;
}

std::vector<ComponentState> DecodeComponentStates(absl::string_view text) {
  std::vector<ComponentState> components;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    const std::optional<ComponentKind> kind = ComponentKindOf(words[0]);
    std::uint64_t sequence = 0;
    if (words.size() == 4 && kind.has_value() && absl::SimpleAtoi(words[3], &sequence)) {
      components.push_back({.kind = *kind,
                            .digest = std::string(words[1]),
                            .confirmed = words[2] == "1",
                            .release_sequence = sequence});
    }
  }
  return components;
}

}  // namespace fieldloop::distribution
