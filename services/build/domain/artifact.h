// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fieldloop::build {

// What a component of a device is. Numbers as in fieldloop.agent.v1.ComponentKind, and stored.
enum class ComponentKind : std::uint8_t {
  kModel = 1,
  kFirmware = 2,
  kConfiguration = 3,
};

// "model", "firmware" or "configuration".
absl::string_view NameOf(ComponentKind kind);

// A firmware image or a configuration that was uploaded; never changes.
struct Artifact {
  std::string project;
  std::int64_t number = 0;  // Counts from 1 in the project.
  ComponentKind kind = ComponentKind::kConfiguration;
  std::string version;  // One artifact of a project and kind has it.
  std::string digest;   // SHA-256 of its bytes, in hex.
  std::int64_t size_bytes = 0;
  std::string author;
  absl::Time create_time{};
  friend bool operator==(const Artifact&, const Artifact&) = default;
};

// INVALID_ARGUMENT unless `version` is 1 to 31 printable ASCII characters without spaces.
absl::Status ValidateArtifactVersion(absl::string_view field, absl::string_view version);

// INVALID_ARGUMENT unless `digest` is a SHA-256 in lower-case hex.
absl::Status ValidateDigest(absl::string_view digest);

// The largest artifact that a device can be asked to take, as trust.proto says of ReleaseComponent.
inline constexpr std::int64_t kMaxArtifactBytes = 16 << 20;

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_ARTIFACT_H_
