// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/sample.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/status_macros.h"
#include "services/ingestion/domain/text_rules.h"

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kIdLength = 32;
constexpr std::size_t kMaxFilterTerms = 1000;
constexpr std::size_t kMaxDeviceNameBytes = 200;

absl::Status ValidateTermCount(absl::string_view field, std::size_t count) {
  if (count > kMaxFilterTerms) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", count, " entries, want at most ", kMaxFilterTerms));
  }
  return absl::OkStatus();
}

}  // namespace

std::string SampleIdOf(absl::string_view digest) {
  return std::string(digest.substr(0, kIdLength));
}

absl::StatusOr<SampleFormat> FormatOfFileName(absl::string_view file_name) {
  if (absl::EndsWithIgnoreCase(file_name, ".csv")) {
    return SampleFormat::kCsv;
  }
  if (absl::EndsWithIgnoreCase(file_name, ".json")) {
    return SampleFormat::kJson;
  }
  if (absl::EndsWithIgnoreCase(file_name, ".wav")) {
    return SampleFormat::kWav;
  }
  return absl::InvalidArgumentError(absl::StrCat("file_name: got ", Quoted(file_name),
                                                 ", want a name that ends in .csv, .json or .wav"));
}

absl::Status ValidateAxes(absl::string_view field, const std::vector<std::string>& axes) {
  if (axes.empty() || axes.size() > static_cast<std::size_t>(kMaxAxes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", axes.size(), " axes, want 1 to ", kMaxAxes));
  }
  std::set<absl::string_view> seen;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::string name = absl::StrCat(field, "[", i, "]");
    FIELDLOOP_RETURN_IF_ERROR(ValidateText(name, axes[i], 1, kMaxAxisBytes));
    if (!seen.insert(axes[i]).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": got ", Quoted(axes[i]), " again, want each name once"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateFilter(absl::string_view field, const SampleFilter& filter) {
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateTermCount(absl::StrCat(field, ".labels"), filter.labels.size()));
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateTermCount(absl::StrCat(field, ".devices"), filter.devices.size()));
  for (const std::string& label : filter.labels) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateLabelText(absl::StrCat(field, ".labels"), label));
  }
  for (const std::string& device : filter.devices) {
    FIELDLOOP_RETURN_IF_ERROR(
        ValidateText(absl::StrCat(field, ".devices"), device, 1, kMaxDeviceNameBytes));
  }
  return ValidateMetadata(absl::StrCat(field, ".metadata"), filter.metadata);
}

bool IsFlat(const std::vector<float>& values, std::size_t axes) {
  for (std::size_t i = axes; i < values.size(); ++i) {
    if (values[i] != values[i - axes]) {
      return false;
    }
  }
  return values.size() > axes;
}

}  // namespace fieldloop::ingestion
