// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/evaluation.h"

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace fieldloop::evaluation {
namespace {

double ToDouble(std::int64_t value) { return static_cast<double>(value); }

// Counts by class, over a multiset of groups.
using Totals = std::vector<ClassCount>;

struct Table {
  std::vector<std::string> labels;
  std::vector<Totals> groups;  // In the order of the labels.
};

Table MakeTable(const std::vector<Group>& groups) {
  std::set<std::string> labels;
  for (const Group& group : groups) {
    for (const auto& [label, count] : group.classes) {
      labels.insert(label);
    }
  }
  Table table{.labels = {labels.begin(), labels.end()}, .groups = {}};
  for (const Group& group : groups) {
    Totals totals;
    for (const std::string& label : table.labels) {
      const auto found = group.classes.find(label);
      totals.push_back(found == group.classes.end() ? ClassCount{} : found->second);
    }
    table.groups.push_back(std::move(totals));
  }
  return table;
}

void Add(const Totals& from, Totals& to) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i].windows += from[i].windows;
    to[i].model_right += from[i].model_right;
    to[i].baseline_right += from[i].baseline_right;
  }
}

std::optional<double> Compute(const Table& table, const Totals& totals, absl::string_view metric,
                              Side side) {
  if (side == Side::kDifference) {
    const std::optional<double> model = Compute(table, totals, metric, Side::kModel);
    const std::optional<double> baseline = Compute(table, totals, metric, Side::kBaseline);
    return model.has_value() && baseline.has_value() ? std::optional<double>(*model - *baseline)
                                                     : std::nullopt;
  }
  const auto right = [side](const ClassCount& count) {
    return ToDouble(side == Side::kModel ? count.model_right : count.baseline_right);
  };
  if (metric == "accuracy") {
    double correct = 0;
    double windows = 0;
    for (const ClassCount& count : totals) {
      correct += right(count);
      windows += ToDouble(count.windows);
    }
    return windows > 0 ? std::optional<double>(correct / windows) : std::nullopt;
  }
  absl::string_view wanted = metric;
  const bool one_class = absl::ConsumePrefix(&wanted, "recall/");
  double sum = 0;
  int classes = 0;
  for (std::size_t i = 0; i < totals.size(); ++i) {
    if (totals[i].windows > 0 && (!one_class || table.labels[i] == wanted)) {
      sum += right(totals[i]) / ToDouble(totals[i].windows);
      ++classes;
    }
  }
  return classes > 0 ? std::optional<double>(sum / classes) : std::nullopt;
}

// FNV-1a, 64 bit: the same on every platform, unlike std::hash.
std::uint64_t SeedOf(absl::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  return hash;
}

Metric MetricOf(const SliceResult& slice, const std::string& name, Side side) {
  const Estimate estimate = EstimateMetric(slice.groups, slice.slice, name, side, 0.95);
  return {.name = name,
          .value = estimate.value,
          .low = estimate.interval.low,
          .high = estimate.interval.high};
}

class SliceBuilder {
 public:
  SliceBuilder(std::string name, const std::vector<std::string>& classes) : classes_(classes) {
    result_.slice = std::move(name);
    for (const std::string& label : classes) {
      rows_.push_back({.label = label, .predicted = std::vector<std::int64_t>(classes.size(), 0)});
    }
  }

  void Add(const JudgedSample& sample) {
    Group& group = groups_[sample.group];
    ++group.samples;
    for (const JudgedWindow& window : sample.windows) {
      const std::string& predicted = classes_[static_cast<std::size_t>(window.predicted)];
      const bool model_right = predicted == window.label;
      const bool baseline_right = window.baseline_class == window.label;
      ClassCount& count = group.classes[window.label];
      ++count.windows;
      count.model_right += model_right ? 1 : 0;
      count.baseline_right += baseline_right ? 1 : 0;
      result_.only_model_right += model_right && !baseline_right ? 1 : 0;
      result_.only_baseline_right += baseline_right && !model_right ? 1 : 0;
      ++result_.windows;
      ++RowOf(window.label).predicted[static_cast<std::size_t>(window.predicted)];
    }
  }

  SliceResult Finish(bool with_baseline) {
    for (auto& [name, group] : groups_) {
      group.name = name;
      result_.groups.push_back(std::move(group));
    }
    std::vector<std::string> names = {"accuracy", "balanced_accuracy"};
    for (const ConfusionRow& row : rows_) {
      if (std::any_of(row.predicted.begin(), row.predicted.end(),
                      [](std::int64_t count) { return count > 0; })) {
        names.push_back(absl::StrCat("recall/", row.label));
      }
    }
    for (const std::string& name : names) {
      result_.metrics.push_back(MetricOf(result_, name, Side::kModel));
      if (with_baseline) {
        result_.baseline_metrics.push_back(MetricOf(result_, name, Side::kBaseline));
      }
    }
    if (with_baseline) {
      result_.difference = MetricOf(result_, "balanced_accuracy", Side::kDifference);
      result_.mcnemar_mid_p = McNemarMidP(result_.only_model_right, result_.only_baseline_right);
    } else {
      result_.only_model_right = 0;
      result_.only_baseline_right = 0;
    }
    result_.confusion = std::move(rows_);
    return std::move(result_);
  }

 private:
  ConfusionRow& RowOf(const std::string& label) {
    for (ConfusionRow& row : rows_) {
      if (row.label == label) {
        return row;
      }
    }
    rows_.push_back({.label = label, .predicted = std::vector<std::int64_t>(classes_.size(), 0)});
    return rows_.back();
  }

  const std::vector<std::string>& classes_;
  SliceResult result_;
  std::vector<ConfusionRow> rows_;
  std::map<std::string, Group> groups_;
};

}  // namespace

std::string Evaluation::name() const { return absl::StrCat(project, "/evaluations/", number); }

std::vector<SliceResult> Summarise(const std::vector<JudgedSample>& samples,
                                   const std::vector<std::string>& classes, bool with_baseline) {
  SliceBuilder all("all", classes);
  std::map<std::string, SliceBuilder> builders;
  for (const JudgedSample& sample : samples) {
    if (sample.windows.empty()) {
      continue;
    }
    all.Add(sample);
    for (const std::string& slice : sample.slices) {
      builders.try_emplace(slice, slice, classes).first->second.Add(sample);
    }
  }
  std::vector<SliceResult> results;
  results.push_back(all.Finish(with_baseline));
  for (auto& [name, builder] : builders) {
    results.push_back(builder.Finish(with_baseline));
  }
  return results;
}

Estimate EstimateMetric(const std::vector<Group>& groups, absl::string_view slice,
                        absl::string_view metric, Side side, double confidence) {
  const Table table = MakeTable(groups);
  Totals totals(table.labels.size());
  for (const Totals& group : table.groups) {
    Add(group, totals);
  }
  Estimate estimate;
  const std::optional<double> value = Compute(table, totals, metric, side);
  if (!value.has_value()) {
    return estimate;
  }
  estimate.defined = true;
  estimate.value = *value;
  if (groups.size() < kLeastGroups) {
    return estimate;
  }
  std::mt19937_64 engine(SeedOf(slice));
  std::vector<double> values;
  for (int round = 0; round < kBootstrapRounds; ++round) {
    Totals resampled(table.labels.size());
    for (std::size_t i = 0; i < table.groups.size(); ++i) {
      Add(table.groups[RandomBelow(engine, table.groups.size())], resampled);
    }
    // A round in which the class does not occur says nothing about it.
    if (const std::optional<double> drawn = Compute(table, resampled, metric, side)) {
      values.push_back(*drawn);
    }
  }
  if (values.size() >= kBootstrapRounds / 2) {
    estimate.has_interval = true;
    estimate.interval = PercentileInterval(values, confidence);
  }
  return estimate;
}

}  // namespace fieldloop::evaluation
