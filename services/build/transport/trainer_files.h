// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_FILES_H_
#define FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/build/domain/trainer.h"

namespace fieldloop::build {

// What train_input.json says to every trainer (docs/models.md).
nlohmann::json TrainInput(const TrainingJob& job);

// RESOURCE_EXHAUSTED if the file cannot be written.
absl::Status WriteJson(const nlohmann::json& json, const std::string& path);

// The outputs that both contracts have beside the model.
inline constexpr char kMetricsFile[] = "metrics.json";
inline constexpr std::int64_t kMaxMetricsBytes = 1 << 20;

// Reads a file that a trainer had to write. ABORTED, with a sentence for people, if it is not
// there.
absl::StatusOr<std::string> ReadOutput(const std::string& folder, const std::string& name);

// Reads metrics.json; nested names are joined by "/". ABORTED as above, and if it is not an object.
absl::StatusOr<std::vector<Metric>> ReadMetrics(const std::string& folder);

}  // namespace fieldloop::build

#endif  // FIELDLOOP_SERVICES_BUILD_TRANSPORT_TRAINER_FILES_H_
