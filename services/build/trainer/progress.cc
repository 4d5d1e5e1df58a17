// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/trainer/progress.h"

#include <ostream>
#include <string>

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace fieldloop::build::trainer {
namespace {

using Json = nlohmann::ordered_json;

void WriteLine(std::ostream& stream, const std::string& line) { stream << line << std::endl; }

// Bytes that are not UTF-8, of a file's name for example, must not end the stream of events.
std::string ToLine(const Json& event) {
  return event.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void Progress::Activity(absl::string_view text) {
  WriteLine(events_, ToLine({{"event", "activity"}, {"text", std::string(text)}}));
  WriteLine(log_, std::string(text));
}

void Progress::Epoch(const EpochResult& result, int epochs) {
  WriteLine(events_, ToLine({{"event", "epoch"},
                             {"epoch", result.epoch},
                             {"epochs", epochs},
                             {"loss", result.loss},
                             {"accuracy", result.accuracy}}));
  WriteLine(log_, absl::StrFormat("epoch %d of %d: loss %.4f, accuracy %.4f", result.epoch, epochs,
                                  result.loss, result.accuracy));
}

void Progress::Error(absl::string_view message) {
  WriteLine(events_, ToLine({{"event", "error"}, {"message", std::string(message)}}));
  WriteLine(log_, absl::StrFormat("error: %s", message));
}

}  // namespace fieldloop::build::trainer
