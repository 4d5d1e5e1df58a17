// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/build/domain/class_scores.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace fieldloop::build {
namespace {

double Share(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

ClassScores::ClassScores(std::vector<std::string> classes)
    : classes_(std::move(classes)),
      windows_(classes_.size()),
      predicted_(classes_.size()),
      right_(classes_.size()) {}

void ClassScores::Add(std::size_t label, int predicted) {
  ++windows_[label];
  if (predicted < 0) {
    return;
  }
  const auto taken_for = static_cast<std::size_t>(predicted);
  ++predicted_[taken_for];
  if (taken_for == label) {
    ++right_[label];
  }
}

std::vector<Metric> ClassScores::Metrics() const {
  std::int64_t windows = 0;
  std::int64_t right = 0;
  double recalls = 0;
  int with_windows = 0;
  std::vector<Metric> of_classes;
  const auto add = [&](absl::string_view name, const std::string& of, std::int64_t part,
                       std::int64_t whole) {
    if (whole > 0) {
      of_classes.push_back({.name = absl::StrCat(name, "/", of), .value = Share(part, whole)});
    }
  };
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    windows += windows_[i];
    right += right_[i];
    if (windows_[i] > 0) {
      recalls += Share(right_[i], windows_[i]);
      ++with_windows;
    }
    add("recall", classes_[i], right_[i], windows_[i]);
    add("precision", classes_[i], right_[i], predicted_[i]);
    add("f1", classes_[i], 2 * right_[i], windows_[i] + predicted_[i]);
    of_classes.push_back(
        {.name = absl::StrCat("windows/", classes_[i]), .value = static_cast<double>(windows_[i])});
  }
  if (windows == 0) {
    return {};
  }
  std::vector<Metric> metrics = {{.name = "accuracy", .value = Share(right, windows)},
                                 {.name = "balanced_accuracy", .value = recalls / with_windows}};
  metrics.insert(metrics.end(), of_classes.begin(), of_classes.end());
  return metrics;
}

}  // namespace fieldloop::build
