// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// A named selection of samples.
struct Dataset {
  std::string project;
  std::string id;
  SampleFilter filter;
  absl::Time create_time{};

  friend bool operator==(const Dataset&, const Dataset&) = default;
};

// What a dataset was at one time.
struct DatasetVersion {
  std::string project;
  std::string dataset_id;
  std::int64_t number = 0;
  std::string digest;
  std::int64_t sample_count = 0;
  std::map<std::string, std::int64_t> training_readings;  // By label.
  std::map<std::string, std::int64_t> testing_readings;
  absl::Time create_time{};

  friend bool operator==(const DatasetVersion&, const DatasetVersion&) = default;
};

// One sample of a version: with its digest, all that the version fixes.
struct VersionEntry {
  std::string sample_id;
  std::string digest;
  Split split = Split::kUnspecified;
  std::int64_t label_number = 0;
  std::vector<LabelRange> ranges;  // As ResolveRanges returns them, not empty.
};

// FAILED_PRECONDITION of an empty version.
inline constexpr char kDatasetEmpty[] = "DATASET_EMPTY";

// INVALID_ARGUMENT naming the first bad field.
absl::Status ValidateNewDataset(const Dataset& dataset);

// Computes digest, sample_count and the readings of a version of `entries`, which are sorted by
// digest. The digest covers the text that DatasetVersion.digest of the API describes.
DatasetVersion SummarizeVersion(const std::vector<VersionEntry>& entries);

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_H_
