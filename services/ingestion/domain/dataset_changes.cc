// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/dataset_changes.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"

namespace fieldloop::ingestion {
namespace {

std::set<std::string> Classes(const std::vector<LabelRange>& ranges) {
  std::set<std::string> classes;
  for (const LabelRange& range : ranges) {
    classes.insert(range.label);
  }
  return classes;
}

std::vector<DatasetDifference> ValuesOf(const std::map<std::string, DatasetDifference>& groups) {
  std::vector<DatasetDifference> values;
  for (const auto& [group, difference] : groups) {
    values.push_back(difference);
    values.back().group = group;
  }
  return values;
}

bool IsRelabelled(ChangeKind kind) {
  return kind == ChangeKind::kRelabelled || kind == ChangeKind::kRelabelledAndMoved;
}

bool IsMoved(ChangeKind kind) {
  return kind == ChangeKind::kMoved || kind == ChangeKind::kRelabelledAndMoved;
}

// Counts a change of one sample in a group.
void Count(ChangeKind kind, DatasetDifference& difference) {
  difference.added += kind == ChangeKind::kAdded ? 1 : 0;
  difference.removed += kind == ChangeKind::kRemoved ? 1 : 0;
  difference.relabelled += IsRelabelled(kind) ? 1 : 0;
  difference.moved += IsMoved(kind) ? 1 : 0;
}

}  // namespace

ChangeKind KindOf(const VersionChange& change) {
  if (change.first_split == Split::kUnspecified) {
    return ChangeKind::kAdded;
  }
  if (change.second_split == Split::kUnspecified) {
    return ChangeKind::kRemoved;
  }
  const bool relabelled = change.first_labels != change.second_labels;
  if (change.first_split != change.second_split) {
    return relabelled ? ChangeKind::kRelabelledAndMoved : ChangeKind::kMoved;
  }
  return relabelled ? ChangeKind::kRelabelled : ChangeKind::kNone;
}

void DiffCounter::Add(const VersionChange& change,
                      const std::map<std::string, std::string>& metadata) {
  const ChangeKind kind = KindOf(change);
  Count(kind, total_);
  for (const std::string& key : keys_) {
    if (const auto value = metadata.find(key); value != metadata.end()) {
      Count(kind, by_key_[absl::StrCat(key, "=", value->second)]);
    }
  }
  const std::set<std::string> first = Classes(change.first_labels);
  const std::set<std::string> second = Classes(change.second_labels);
  if (kind == ChangeKind::kAdded || kind == ChangeKind::kRemoved) {
    for (const std::string& label : kind == ChangeKind::kAdded ? second : first) {
      Count(kind, by_label_[label]);
    }
    return;
  }
  if (IsRelabelled(kind)) {
    std::set<std::string> concerned;
    std::set_symmetric_difference(first.begin(), first.end(), second.begin(), second.end(),
                                  std::inserter(concerned, concerned.end()));
    for (const std::string& label : concerned.empty() ? second : concerned) {
      ++by_label_[label].relabelled;
    }
  }
  if (IsMoved(kind)) {
    for (const std::string& label : second) {
      ++by_label_[label].moved;
    }
  }
}

VersionDiff DiffCounter::Result() const {
  return {.total = total_, .labels = ValuesOf(by_label_), .keys = ValuesOf(by_key_)};
}

}  // namespace fieldloop::ingestion
