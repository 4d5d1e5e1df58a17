// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/process_trainer.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/build/domain/model.h"
#include "services/build/transport/child_process.h"
#include "services/build/transport/proto_conversion.h"
#include "services/build/transport/utf8.h"
#include "services/common/crypto/digest.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kLook = absl::Milliseconds(100);
constexpr std::size_t kMaxLine = std::size_t{64} << 10;
constexpr std::size_t kMaxSentence = 500;
constexpr std::int64_t kMaxMetricsBytes = 1 << 20;
constexpr std::size_t kMaxMetrics = 4096;
constexpr int kInputFormat = 1;

// Text of the trainer, fit for a field that people read.
std::string Sentence(absl::string_view text) {
  std::string sentence = ToUtf8(text.substr(0, kMaxSentence));
  for (char& c : sentence) {
    if (c == '\n' || c == '\t') {
      c = ' ';
    }
  }
  return sentence;
}

double NumberOr(const Json& event, const char* key, double fallback) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) {
    return fallback;
  }
  const auto value = found->get<double>();
  return std::isfinite(value) ? value : fallback;
}

std::int32_t CountOr0(const Json& event, const char* key) {
  const double value = NumberOr(event, key, 0);
  return value >= 0 && value <= std::numeric_limits<std::int32_t>::max()
             ? static_cast<std::int32_t>(value)
             : 0;
}

std::string TextOf(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? Sentence(found->get<std::string>()) : "";
}

// Reads the trainer's standard output line by line: events go to the listener, the rest to the log.
class EventReader {
 public:
  explicit EventReader(TrainerListener& listener) : listener_(listener) {}

  void Take(absl::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      line_.append(text.data(), end == absl::string_view::npos ? text.size() : end);
      if (end == absl::string_view::npos) {
        if (line_.size() > kMaxLine) {
          Flush();
        }
        return;
      }
      text.remove_prefix(end + 1);
      Flush();
    }
  }

  // Ends a last line that has no line break.
  void Finish() {
    if (!line_.empty()) {
      Flush();
    }
  }

  const std::string& error() const { return error_; }

 private:
  void Flush() {
    if (!TakeEvent()) {
      line_.push_back('\n');
      listener_.OnLog(line_);
    }
    line_.clear();
  }

  bool TakeEvent() {
    const Json event = Json::parse(line_, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) {
      return false;
    }
    const std::string kind = TextOf(event, "event");
    if (kind == "activity") {
      listener_.OnActivity(TextOf(event, "text"));
    } else if (kind == "epoch") {
      constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
      listener_.OnEpoch(CountOr0(event, "epoch"), CountOr0(event, "epochs"),
                        NumberOr(event, "loss", kNone), NumberOr(event, "accuracy", kNone));
    } else if (kind == "error") {
      error_ = TextOf(event, "message");
    } else {
      return false;
    }
    return true;
  }

  TrainerListener& listener_;
  std::string line_;
  std::string error_;
};

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

absl::Status WriteInput(const TrainingJob& job, const std::string& path) {
  Json input = {
      {"format", kInputFormat},
      {"seed", job.seed},
      {"classes", job.classes},
      {"impulse", absl::Base64Escape(ToAgentImpulse(job.recipe, job.classes).SerializeAsString())},
      {"learning", LearningJson(job.recipe)}};
  if (!job.parent_file.empty()) {
    input["parent_model"] = job.parent_file;
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << input.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  file.close();
  return file ? absl::OkStatus()
              : absl::ResourceExhaustedError(absl::StrCat("cannot write ", path));
}

// Reads a file that the trainer had to write.
absl::StatusOr<std::string> ReadOutput(const std::string& folder, const std::string& name,
                                       std::int64_t max_bytes) {
  const std::string path = absl::StrCat(folder, "/", name);
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::AbortedError(absl::StrCat("the trainer ended well but wrote no ", name));
  }
  if (size > static_cast<std::uintmax_t>(max_bytes)) {
    return absl::AbortedError(absl::StrCat("the trainer wrote a ", name, " of ", size,
                                           " bytes, want at most ", max_bytes));
  }
  std::string content(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file) {
    return absl::AbortedError(absl::StrCat("cannot read the trainer's ", name));
  }
  return content;
}

void Flatten(const Json& json, const std::string& name, std::vector<Metric>& metrics) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      const std::string part = Sentence(key);
      Flatten(value, name.empty() ? part : absl::StrCat(name, "/", part), metrics);
    }
  } else if (json.is_number() && !name.empty() && metrics.size() < kMaxMetrics) {
    const auto value = json.get<double>();
    if (std::isfinite(value)) {
      metrics.push_back({.name = name, .value = value});
    }
  }
}

absl::StatusOr<TrainedModel> ReadResult(const std::string& folder) {
  TrainedModel trained;
  FIELDLOOP_ASSIGN_OR_RETURN(trained.file, ReadOutput(folder, "model.tflite", kMaxModelBytes));
  FIELDLOOP_ASSIGN_OR_RETURN(const std::string text,
                             ReadOutput(folder, "metrics.json", kMaxMetricsBytes));
  const Json metrics = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!metrics.is_object()) {
    return absl::AbortedError("the trainer's metrics.json is not a JSON object");
  }
  Flatten(metrics, "", trained.metrics);
  return trained;
}

absl::Status Failure(const ProcessEnd& end, const std::string& said) {
  if (!said.empty()) {
    return absl::AbortedError(said);
  }
  if (end.by_signal) {
    const char* name = sigabbrev_np(end.number);
    return absl::AbortedError(
        absl::StrCat("the trainer was ended by signal ", end.number,
                     name == nullptr ? "" : absl::StrCat(" (SIG", name, ")")));
  }
  return absl::AbortedError(absl::StrCat("the trainer ended with code ", end.number));
}

}  // namespace

ProcessTrainer::ProcessTrainer(ProcessTrainerOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {}

absl::StatusOr<TrainerIdentity> ProcessTrainer::Identify() {
  std::ifstream file(options_.program, std::ios::binary);
  Sha256 digest;
  std::array<char, std::size_t{64} << 10> buffer{};
  bool any = false;
  while (file.read(buffer.data(), buffer.size()) || file.gcount() > 0) {
    digest.Update(absl::string_view(buffer.data(), static_cast<std::size_t>(file.gcount())));
    any = true;
  }
  if (!any) {
    return absl::AbortedError(
        absl::StrCat("the trainer program ", options_.program, " cannot be read"));
  }
  return TrainerIdentity{.name = std::filesystem::path(options_.program).filename().string(),
                         .digest = ToHex(digest.Finish())};
}

absl::StatusOr<TrainedModel> ProcessTrainer::Train(const TrainingJob& job, std::stop_token stop,
                                                   TrainerListener& listener) {
  const std::string info_file = absl::StrCat(job.directory, "/train_input.json");
  FIELDLOOP_RETURN_IF_ERROR(WriteInput(job, info_file));
  const absl::Time deadline = clock_.Now() + options_.time_limit;
  absl::StatusOr<std::unique_ptr<ChildProcess>> child =
      ChildProcess::Start({options_.program, "--info-file", info_file, "--data-directory",
                           job.directory, "--out-directory", job.out_directory});
  if (!child.ok()) {
    // Trying again would not help.
    return absl::AbortedError(child.status().message());
  }
  EventReader events(listener);
  const auto on_stdout = [&events](absl::string_view text) { events.Take(text); };
  const auto on_stderr = [&listener](absl::string_view text) { listener.OnLog(text); };
  absl::Status ended_early;
  while ((*child)->Pump(kLook, on_stdout, on_stderr)) {
    if (!ended_early.ok()) {
      continue;
    }
    if (stop.stop_requested()) {
      ended_early = absl::CancelledError("stopped");
    } else if (clock_.Now() >= deadline) {
      ended_early = absl::DeadlineExceededError(
          absl::StrCat("the trainer took longer than ", absl::FormatDuration(options_.time_limit)));
    }
    if (!ended_early.ok()) {
      (*child)->Kill();
    }
  }
  events.Finish();
  FIELDLOOP_RETURN_IF_ERROR(ended_early);
  const ProcessEnd end = (*child)->End();
  if (end.by_signal || end.number != 0 || !events.error().empty()) {
    return Failure(end, events.error());
  }
  return ReadResult(job.out_directory);
}

}  // namespace fieldloop::build
