// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/progress.h"

#include <ostream>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "services/build/trainer/architecture.h"

namespace fieldloop::build::trainer {
namespace {

using Json = nlohmann::ordered_json;

// Bytes that are not UTF-8, of a file's name for example, must not end the stream of events.
std::string ToLine(const Json& event) {
  return event.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void Progress::Write(const std::string& event, const std::string& words) {
  const MutexLock lock(mutex_);
  events_ << event << std::endl;
  log_ << words << std::endl;
}

void Progress::Activity(absl::string_view text) {
  Write(ToLine({{"event", "activity"}, {"text", std::string(text)}}), std::string(text));
}

void Progress::Epoch(const EpochResult& result, int epochs) {
  Json event = {{"event", "epoch"},
                {"epoch", result.epoch},
                {"epochs", epochs},
                {"loss", result.loss},
                {"accuracy", result.accuracy}};
  std::string words = absl::StrFormat("epoch %d of %d: loss %.4f, accuracy %.4f", result.epoch,
                                      epochs, result.loss, result.accuracy);
  if (result.validation_loss.has_value()) {
    event["validation_loss"] = *result.validation_loss;
    event["validation_accuracy"] = *result.validation_accuracy;
    absl::StrAppendFormat(&words, "; validation: loss %.4f, accuracy %.4f", *result.validation_loss,
                          *result.validation_accuracy);
  }
  Write(ToLine(event), words);
}

void Progress::Candidate(const trainer::Candidate& candidate) {
  Json event = ToJson(candidate);
  event["event"] = "candidate";
  std::string words = absl::StrFormat("%s: %d bytes, arena %d, %d instructions",
                                      NetworkName(candidate.network), candidate.size_bytes,
                                      candidate.arena_bytes, candidate.cortex_m4_instructions);
  if (candidate.validation_balanced_accuracy.has_value()) {
    absl::StrAppendFormat(&words, ", balanced accuracy %.4f%s",
                          *candidate.validation_balanced_accuracy,
                          candidate.chosen ? ", chosen" : "");
  } else {
    words += ", does not fit";
  }
  Write(ToLine(event), words);
}

void Progress::Error(absl::string_view message) {
  Write(ToLine({{"event", "error"}, {"message", std::string(message)}}),
        absl::StrFormat("error: %s", message));
}

nlohmann::ordered_json ToJson(const Candidate& candidate) {
  Json json = {{"network", NetworkName(candidate.network)},
               {"size_bytes", candidate.size_bytes},
               {"arena_bytes", candidate.arena_bytes},
               {"cortex_m4_instructions", candidate.cortex_m4_instructions},
               {"fits", candidate.fits},
               {"chosen", candidate.chosen}};
  if (candidate.validation_balanced_accuracy.has_value()) {
    json["validation_balanced_accuracy"] = *candidate.validation_balanced_accuracy;
  }
  return json;
}

}  // namespace fieldloop::build::trainer
