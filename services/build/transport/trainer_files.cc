// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainer_files.h"

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <ios>
#include <system_error>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/trainer_events.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;

constexpr int kInputFormat = 1;
constexpr std::size_t kMaxMetrics = 4096;

Json AugmentationJson(const Augmentation& augmentation) {
  return {{"copies", augmentation.copies},
          {"rotation_degrees", augmentation.rotation_degrees},
          {"gain", augmentation.gain},
          {"noise", augmentation.noise},
          {"half_turns", augmentation.half_turns},
          {"time_shift", augmentation.time_shift},
          {"time_mask", augmentation.time_mask},
          {"frequency_mask", augmentation.frequency_mask}};
}

// The fields of fieldloop.build.v1.Learning; those that the recipe does not use are left out.
Json LearningJson(const ImpulseRecipe& recipe) {
  const Learning& learning = recipe.learning;
  Json json = {{"network", std::string(TextOf(learning.network))},
               {"dense_units", learning.dense_units},
               {"epochs", learning.epochs},
               {"learning_rate", learning.learning_rate},
               {"batch_size", learning.batch_size},
               {"dropout", learning.dropout},
               {"weight_decay", learning.weight_decay},
               {"augmentation", AugmentationJson(learning.augmentation)},
               {"balance_classes", learning.balance_classes},
               {"group_key", learning.group_key},
               {"device_weight", learning.device_weight},
               {"training_stride", TrainingStride(recipe)}};
  for (const ConvBlock& block : learning.conv_blocks) {
    json["conv_blocks"].push_back({{"filters", block.filters},
                                   {"kernel", block.kernel},
                                   {"stride", block.stride},
                                   {"pool", block.pool}});
  }
  if (learning.validation_share != 0) {
    json["early_stopping_patience"] = learning.early_stopping_patience;
    json["validation_share"] = learning.validation_share;
  }
  if (learning.anomaly.has_value()) {
    json["anomaly"] = {{"method", std::string(TextOf(learning.anomaly->method))},
                       {"components", learning.anomaly->components},
                       {"features", learning.anomaly->features},
                       {"quantile", learning.anomaly->quantile}};
  }
  if (learning.budget.has_value()) {
    json["budget"] = {{"flash_kb", learning.budget->flash_kb},
                      {"ram_kb", learning.budget->ram_kb},
                      {"mega_instructions", learning.budget->mega_instructions},
                      {"trials", learning.budget->trials}};
  }
  if (!learning.parameters.empty()) {
    json["parameters"] = learning.parameters;
  }
  return json;
}

void Flatten(const Json& json, const std::string& name, std::vector<Metric>& metrics) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      const std::string part = OneLine(key);
      Flatten(value, name.empty() ? part : absl::StrCat(name, "/", part), metrics);
    }
  } else if (json.is_number() && !name.empty() && metrics.size() < kMaxMetrics) {
    const auto value = json.get<double>();
    if (std::isfinite(value)) {
      metrics.push_back({.name = name, .value = value});
    }
  }
}

}  // namespace

Json TrainInput(const TrainingJob& job) {
  Json input = {
      {"format", kInputFormat},
      {"seed", job.seed},
      {"classes", job.classes},
      {"impulse", absl::Base64Escape(ToAgentImpulse(job.recipe, job.classes).SerializeAsString())},
      {"learning", LearningJson(job.recipe)}};
  if (!job.parent_file.empty()) {
    input["parent_model"] = job.parent_file;
  }
  return input;
}

absl::Status WriteJson(const Json& json, const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  file.close();
  return file ? absl::OkStatus()
              : absl::ResourceExhaustedError(absl::StrCat("cannot write ", path));
}

absl::StatusOr<std::string> ReadOutput(const std::string& folder, const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name);
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::AbortedError(absl::StrCat("the trainer ended well but wrote no ", name));
  }
  std::string content(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file) {
    return absl::AbortedError(absl::StrCat("cannot read the trainer's ", name));
  }
  return content;
}

absl::StatusOr<std::vector<Metric>> ReadMetrics(const std::string& folder) {
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text, ReadOutput(folder, kMetricsFile));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::AbortedError("the trainer's metrics.json is not a JSON object");
  }
  std::vector<Metric> metrics;
  Flatten(json, "", metrics);
  return metrics;
}

}  // namespace fieldloop::build
