// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/transport/structured_labels.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

using nlohmann::json;

absl::Status Bad(absl::string_view field, absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat(kStructuredLabelsName, ": ", field, ": want ", want));
}

// The member `key` of an object, or null.
const json& Member(const json& object, const char* key) {
  static const json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

absl::StatusOr<LabelRange> ParseRange(absl::string_view field, const json& value) {
  if (!value.is_object()) {
    return Bad(field, "an object");
  }
  const json& start = Member(value, "startIndex");
  const json& end = Member(value, "endIndex");
  const json& label = Member(value, "label");
  if (!start.is_number_integer()) {
    return Bad(absl::StrCat(field, ".startIndex"), "an integer");
  }
  if (!end.is_number_integer()) {
    return Bad(absl::StrCat(field, ".endIndex"), "an integer");
  }
  if (!label.is_string()) {
    return Bad(absl::StrCat(field, ".label"), "a string");
  }
  return LabelRange{.start = start.get<std::int64_t>(),
                    .end = end.get<std::int64_t>(),
                    .label = label.get<std::string>()};
}

}  // namespace

absl::StatusOr<std::map<std::string, std::vector<LabelRange>>> ParseStructuredLabels(
    absl::string_view text) {
  const json document = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return Bad("document", "a JSON object");
  }
  if (Member(document, "version") != 1) {
    return Bad("version", "1");
  }
  if (Member(document, "type") != "structured-labels") {
    return Bad("type", "\"structured-labels\"");
  }
  const json& files = Member(document, "structuredLabels");
  if (!files.is_object()) {
    return Bad("structuredLabels", "an object");
  }
  std::map<std::string, std::vector<LabelRange>> labels;
  for (const auto& [file, ranges] : files.items()) {
    const std::string field = absl::StrCat("structuredLabels[", Quoted(file), "]");
    if (!ranges.is_array()) {
      return Bad(field, "an array");
    }
    std::vector<LabelRange>& parsed = labels[file];
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      FIELDLOOP_ASSIGN_OR_RETURN(LabelRange range,
                                 ParseRange(absl::StrCat(field, "[", i, "]"), ranges[i]));
      parsed.push_back(std::move(range));
    }
  }
  return labels;
}

}  // namespace fieldloop::ingestion
