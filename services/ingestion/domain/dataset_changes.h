// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_CHANGES_H_
#define FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_CHANGES_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "services/ingestion/domain/label.h"
#include "services/ingestion/domain/sample.h"

namespace fieldloop::ingestion {

// One version of a dataset of some project.
struct VersionKey {
  std::string dataset_id;
  std::int64_t number = 0;
};

// A sample that two versions do not share or do not label alike.
struct VersionChange {
  std::string sample_id;
  std::string digest;
  Split first_split = Split::kUnspecified;  // Unspecified: the version does not hold the sample.
  Split second_split = Split::kUnspecified;
  std::vector<LabelRange> first_labels;
  std::vector<LabelRange> second_labels;

  friend bool operator==(const VersionChange&, const VersionChange&) = default;
};

enum class ChangeKind { kNone, kAdded, kRemoved, kRelabelled, kMoved, kRelabelledAndMoved };

ChangeKind KindOf(const VersionChange& change);

// What became of the samples of one class or one key.
struct DatasetDifference {
  std::string group;
  std::int64_t added = 0;
  std::int64_t removed = 0;
  std::int64_t relabelled = 0;
  std::int64_t moved = 0;

  friend bool operator==(const DatasetDifference&, const DatasetDifference&) = default;
};

struct VersionDiff {
  DatasetDifference total;
  std::vector<DatasetDifference> labels;  // By label, sorted.
  std::vector<DatasetDifference> keys;    // By "key=value", sorted.

  friend bool operator==(const VersionDiff&, const VersionDiff&) = default;
};

// Counts changes in all, by class and by some keys of the metadata. A relabelled sample counts in
// the classes that it left and in those that it came to; one whose ranges only shifted, in all its
// classes. A moved one counts in the classes it has in the second version.
class DiffCounter {
 public:
  explicit DiffCounter(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  void Add(const VersionChange& change, const std::map<std::string, std::string>& metadata);
  VersionDiff Result() const;

 private:
  const std::vector<std::string> keys_;
  DatasetDifference total_;
  std::map<std::string, DatasetDifference> by_label_;
  std::map<std::string, DatasetDifference> by_key_;
};

}  // namespace fieldloop::ingestion

#endif  // FIELDLOOP_SERVICES_INGESTION_DOMAIN_DATASET_CHANGES_H_
