// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/label.h"

#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMaxLabelBytes = 31;

std::string RangeField(absl::string_view field, std::size_t index) {
  return absl::StrCat(field, "[", index, "]");
}

}  // namespace

absl::Status ValidateLabelText(absl::string_view field, absl::string_view label) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateText(field, label, 1, kMaxLabelBytes));
  if (absl::StrContains(label, ',')) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", Quoted(label), ", want a label without a comma"));
  }
  return absl::OkStatus();
}

absl::Status ValidateRanges(absl::string_view field, const std::vector<LabelRange>& ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const LabelRange& range = ranges[i];
    const std::string name = RangeField(field, i);
    FIELDLOOP_RETURN_IF_ERROR(ValidateLabelText(absl::StrCat(name, ".label"), range.label));
    if (range.start < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ".start_reading: got ", range.start, ", want 0 or more"));
    }
    if (range.end != -1 && range.end < range.start) {
      return absl::InvalidArgumentError(absl::StrCat(name, ".end_reading: got ", range.end,
                                                     ", want -1 or at least ", range.start));
    }
    if (i > 0 && (ranges[i - 1].end == -1 || range.start <= ranges[i - 1].end)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ".start_reading: got ", range.start,
                       ", want it after the end of the range before (", ranges[i - 1].end,
                       "): ranges are in order and do not overlap"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LabelRange>> ResolveRanges(absl::string_view field,
                                                      std::vector<LabelRange> ranges,
                                                      std::int64_t readings) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateRanges(field, ranges));
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    LabelRange& range = ranges[i];
    if (range.start >= readings) {
      return absl::InvalidArgumentError(absl::StrCat(RangeField(field, i), ".start_reading: got ",
                                                     range.start, ", want less than ", readings,
                                                     ", the readings of the sample"));
    }
    if (range.end >= readings) {
      return absl::InvalidArgumentError(absl::StrCat(RangeField(field, i), ".end_reading: got ",
                                                     range.end, ", want -1 or less than ", readings,
                                                     ", the readings of the sample"));
    }
    if (range.end == -1) {
      range.end = readings - 1;
    }
  }
  return ranges;
}

}  // namespace fieldloop::ingestion
