// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/agreement.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

namespace fieldloop::ingestion {
namespace {

constexpr std::size_t kMostDisagreeing = 100;

// One pair's counts.
struct Both {
  std::int64_t samples = 0;
  std::int64_t equal = 0;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> given;  // By label, by each.
};

std::optional<double> Kappa(const Both& both) {
  const auto n = static_cast<double>(both.samples);
  double expected = 0;
  for (const auto& [label, given] : both.given) {
    expected += static_cast<double>(given.first) / n * (static_cast<double>(given.second) / n);
  }
  if (both.given.size() < 2) {
    return std::nullopt;
  }
  const double observed = static_cast<double>(both.equal) / n;
  return (observed - expected) / (1 - expected);
}

}  // namespace

Agreement AgreementOf(const std::vector<Rating>& ratings) {
  std::map<std::string, std::vector<const Rating*>> by_sample;
  std::vector<std::string> order;
  for (const Rating& rating : ratings) {
    std::vector<const Rating*>& of_sample = by_sample[rating.sample_id];
    if (of_sample.empty()) {
      order.push_back(rating.sample_id);
    }
    of_sample.push_back(&rating);
  }
  Agreement result;
  std::map<std::pair<std::string, std::string>, Both> pairs;
  double different = 0;                  // D_o.
  std::map<std::string, double> totals;  // n_c.
  for (const std::string& id : order) {
    const std::vector<const Rating*>& given = by_sample[id];
    if (given.size() < 2) {
      continue;
    }
    ++result.samples;
    const double weight = 1 / static_cast<double>(given.size() - 1);
    bool agree = true;
    for (const Rating* a : given) {
      for (const Rating* b : given) {
        if (a == b) {
          continue;
        }
        totals[a->label] += weight;
        if (a->label != b->label) {
          different += weight;
          agree = false;
        }
        if (a->labeller < b->labeller) {
          Both& both = pairs[{a->labeller, b->labeller}];
          ++both.samples;
          both.equal += a->label == b->label ? 1 : 0;
          ++both.given[a->label].first;
          ++both.given[b->label].second;
        }
      }
    }
    if (!agree && result.disagreeing.size() < kMostDisagreeing) {
      result.disagreeing.push_back(id);
    }
  }
  double n = 0;
  double squares = 0;
  for (const auto& [label, total] : totals) {
    n += total;
    squares += total * total;
  }
  if (totals.size() >= 2) {
    result.alpha = 1 - (n - 1) * different / (n * n - squares);
  }
  for (const auto& [names, both] : pairs) {
    result.pairs.push_back(
        {.first = names.first,
         .second = names.second,
         .samples = both.samples,
         .agreement = static_cast<double>(both.equal) / static_cast<double>(both.samples),
         .kappa = Kappa(both)});
  }
  return result;
}

}  // namespace fieldloop::ingestion
