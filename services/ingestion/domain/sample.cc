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
// "clipping:" and the name of an axis is the longest flag.
constexpr std::size_t kMaxFlagBytes = 9 + kMaxAxisBytes;

absl::Status ValidateTermCount(absl::string_view field, std::size_t count) {
  if (count > kMaxFilterTerms) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": got ", count, " entries, want at most ", kMaxFilterTerms));
  }
  return absl::OkStatus();
}

absl::Status ValidateFlags(const std::string& field, const std::vector<std::string>& flags) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateTermCount(field, flags.size()));
  for (const std::string& flag : flags) {
    FIELDLOOP_RETURN_IF_ERROR(ValidateText(field, flag, 1, kMaxFlagBytes));
  }
  return absl::OkStatus();
}

}  // namespace

std::string SampleIdOf(absl::string_view digest) {
  return std::string(digest.substr(0, kIdLength));
}

absl::StatusOr<SampleFormat> FormatOfFileName(absl::string_view file_name) {
  struct Ending {
    absl::string_view text;
    SampleFormat format;
  };
  constexpr Ending kEndings[] = {{".csv", SampleFormat::kCsv},
                                 {".txt", SampleFormat::kCsv},
                                 {".json", SampleFormat::kJson},
                                 {".cbor", SampleFormat::kCbor},
                                 {".wav", SampleFormat::kWav}};
  for (const Ending& ending : kEndings) {
    if (absl::EndsWithIgnoreCase(file_name, ending.text)) {
      return ending.format;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("file_name: got ", Quoted(file_name),
                   ", want a name that ends in .csv, .txt, .json, .cbor or .wav"));
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
  FIELDLOOP_RETURN_IF_ERROR(ValidateFlags(absl::StrCat(field, ".flags"), filter.flags));
  FIELDLOOP_RETURN_IF_ERROR(
      ValidateFlags(absl::StrCat(field, ".without_flags"), filter.without_flags));
  return ValidateMetadata(absl::StrCat(field, ".metadata"), filter.metadata);
}

}  // namespace fieldloop::ingestion
