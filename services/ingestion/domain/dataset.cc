// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/dataset.h"

#include "absl/strings/str_cat.h"
#include "services/common/crypto/digest.h"
#include "services/common/resource/resource_name.h"
#include "services/common/status/status_macros.h"

namespace fieldloop::ingestion {
namespace {

std::string DigestLine(const VersionEntry& entry) {
  std::string line = absl::StrCat(entry.digest, "\t",
                                  entry.split == Split::kTesting ? "testing" : "training", "\t");
  const char* separator = "";
  for (const LabelRange& range : entry.ranges) {
    absl::StrAppend(&line, separator, range.start, ":", range.end, ":", range.label);
    separator = ",";
  }
  line += '\n';
  return line;
}

}  // namespace

absl::Status ValidateNewDataset(const Dataset& dataset) {
  FIELDLOOP_RETURN_IF_ERROR(ValidateId("dataset.name", dataset.id));
  if (dataset.filter.label_state == LabelState::kUnlabelled ||
      dataset.filter.label_state == LabelState::kNoPerson) {
    return absl::InvalidArgumentError(absl::StrCat(
        "dataset.filter.label_state: got ",
        dataset.filter.label_state == LabelState::kUnlabelled ? "LABEL_STATE_UNLABELLED"
                                                              : "LABEL_STATE_NO_PERSON",
        ", want LABEL_STATE_LABELLED or nothing: only labelled samples are part of a "
        "version"));
  }
  if (!dataset.filter.without_suggestion_of.empty()) {
    return absl::InvalidArgumentError(
        "dataset.filter.without_suggestion_of: want nothing: what models say is not part of a "
        "dataset");
  }
  return ValidateFilter("dataset.filter", dataset.filter);
}

DatasetVersion SummarizeVersion(const std::vector<VersionEntry>& entries) {
  DatasetVersion version;
  version.sample_count = static_cast<std::int64_t>(entries.size());
  Sha256 digest;
  for (const VersionEntry& entry : entries) {
    digest.Update(DigestLine(entry));
    auto& readings =
        entry.split == Split::kTesting ? version.testing_readings : version.training_readings;
    for (const LabelRange& range : entry.ranges) {
      readings[range.label] += range.end - range.start + 1;
    }
  }
  version.digest = ToHex(digest.Finish());
  return version;
}

}  // namespace fieldloop::ingestion
