// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/transport/trainer_events.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include <nlohmann/json.hpp>

#include "services/build/transport/utf8.h"

namespace fieldloop::build {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxLine = std::size_t{64} << 10;
constexpr std::size_t kMaxSentence = 500;

std::optional<double> NumberOf(const Json& event, const char* key) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_number()) {
    return std::nullopt;
  }
  const auto value = found->get<double>();
  return std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
}

// A count that is missing or makes no sense is 0.
template <typename Integer>
Integer CountOf(const Json& event, const char* key) {
  const double value = NumberOf(event, key).value_or(0);
  // The limit itself is not a double for 64 bits; half of it is.
  constexpr auto kMost = static_cast<double>(std::numeric_limits<Integer>::max() / 2);
  return value >= 0 && value <= kMost ? static_cast<Integer>(value) : 0;
}

bool FlagOf(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_boolean() && found->get<bool>();
}

std::string TextOf(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? OneLine(found->get<std::string>()) : "";
}

Epoch EpochOf(const Json& event) {
  return {.epoch = CountOf<std::int32_t>(event, "epoch"),
          .loss = NumberOf(event, "loss"),
          .accuracy = NumberOf(event, "accuracy"),
          .validation_loss = NumberOf(event, "validation_loss"),
          .validation_accuracy = NumberOf(event, "validation_accuracy")};
}

Candidate CandidateOf(const Json& event) {
  return {.network = TextOf(event, "network"),
          .size_bytes = CountOf<std::int64_t>(event, "size_bytes"),
          .arena_bytes = CountOf<std::int64_t>(event, "arena_bytes"),
          .cortex_m4_instructions = CountOf<std::int64_t>(event, "cortex_m4_instructions"),
          .validation_balanced_accuracy = NumberOf(event, "validation_balanced_accuracy"),
          .fits = FlagOf(event, "fits"),
          .chosen = FlagOf(event, "chosen")};
}

}  // namespace

std::string OneLine(absl::string_view text) {
  std::string line = ToUtf8(text.substr(0, kMaxSentence));
  for (char& c : line) {
    if (c == '\n' || c == '\t') {
      c = ' ';
    }
  }
  return line;
}

void TrainerEvents::Take(absl::string_view text) {
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

void TrainerEvents::Finish() {
  if (!line_.empty()) {
    Flush();
  }
}

void TrainerEvents::Flush() {
  if (!TakeEvent()) {
    line_.push_back('\n');
    listener_.OnLog(line_);
  }
  line_.clear();
}

bool TrainerEvents::TakeEvent() {
  const Json event = Json::parse(line_, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) {
    return false;
  }
  const std::string kind = TextOf(event, "event");
  if (kind == "activity") {
    listener_.OnActivity(TextOf(event, "text"));
  } else if (kind == "epoch") {
    listener_.OnEpoch(EpochOf(event), CountOf<std::int32_t>(event, "epochs"));
  } else if (kind == "candidate") {
    listener_.OnCandidate(CandidateOf(event));
  } else if (kind == "error") {
    error_ = TextOf(event, "message");
  } else {
    return false;
  }
  return true;
}

}  // namespace fieldloop::build
