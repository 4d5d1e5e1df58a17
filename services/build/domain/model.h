// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_H_
#define FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/build/domain/build.h"

namespace fieldloop::build {

// Everything that a model's bytes follow from.
struct ModelInputs {
  std::string dataset_digest;
  std::string impulse_digest;
  std::uint32_t seed = 1;
  std::string parent_digest;  // Empty: started from nothing.
  std::string trainer_digest;
  friend bool operator==(const ModelInputs&, const ModelInputs&) = default;
};

// One version of a project's model; never changes.
struct Model {
  std::string project;
  std::int64_t number = 0;  // Counts from 1 in the project.
  std::string digest;       // SHA-256 of the file, in hex.
  std::int64_t size_bytes = 0;
  std::int64_t arena_bytes = 0;
  std::int64_t build = 0;
  std::string dataset_version;
  std::string impulse;
  std::int64_t parent_model = 0;  // 0: none.
  std::vector<std::string> classes;
  std::vector<Metric> trainer_metrics;  // What the trainer says of it.
  std::vector<Metric> metrics;          // What the service itself found, see ClassScores.
  std::int64_t cortex_m4_instructions = 0;
  std::int64_t host_inference_nanos = 0;
  std::string trainer;        // As Build::trainer; "import" for an imported model.
  std::string import_author;  // Empty for a built model.
  std::string metadata;       // Serialised fieldloop.agent.v1.Impulse, as in the file.
  ModelInputs inputs;
  absl::Time create_time{};
  std::vector<std::string> aliases;  // That point to it now, sorted.
  friend bool operator==(const Model&, const Model&) = default;
};

// A change of an alias; the newest of an alias says where it points.
struct AliasChange {
  std::string project;
  std::string alias;
  std::int64_t sequence = 0;  // Counts from 1 for each alias.
  std::int64_t model = 0;     // 0: taken away.
  std::string author;
  std::string reason;
  absl::Time create_time{};
  friend bool operator==(const AliasChange&, const AliasChange&) = default;
};

// OK if `alias` is 1 to 39 characters of [a-z0-9-], starting with a letter.
absl::Status ValidateAlias(absl::string_view field, absl::string_view alias);

// The largest file that a device can be asked to run.
inline constexpr std::int64_t kMaxModelBytes = 16 << 20;

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_DOMAIN_MODEL_H_
