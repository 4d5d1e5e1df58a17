// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/gate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace fieldloop::evaluation {
namespace {

// Beyond this factor a number of samples to wait for would only mislead.
constexpr double kMostTimes = 100;

std::string HowMuchMore(double value, const Interval& interval, double bound, std::size_t groups,
                        std::int64_t samples) {
  const double distance = std::abs(value - bound);
  const double width = value > bound ? value - interval.low : interval.high - value;
  // The width of the interval falls with the square root of the number of groups.
  const double times = distance > 0 ? (width / distance) * (width / distance) : kMostTimes + 1;
  if (times > kMostTimes) {
    return absl::StrFormat("the two are too close to tell apart with less than %.0f times the data",
                           kMostTimes);
  }
  const double more = std::max(times - 1, 0.0);
  return absl::StrFormat("it takes about %.0f more samples from %.0f more devices or people",
                         std::max(1.0, std::ceil(more * static_cast<double>(samples))),
                         std::max(1.0, std::ceil(more * static_cast<double>(groups))));
}

}  // namespace

GateResult JudgeRule(const GateRule& rule, const Evaluation& evaluation) {
  GateResult result;
  result.rule = absl::StrCat(rule.slice, ": ", rule.metric, " ", GateTestName(rule.test));
  if (rule.test == GateTest::kAtLeast) {
    absl::StrAppend(&result.rule, " ", rule.value);
  } else if (rule.margin > 0) {
    absl::StrAppend(&result.rule, " by ", rule.margin);
  }

  const auto slice = std::find_if(evaluation.slices.begin(), evaluation.slices.end(),
                                  [&](const SliceResult& s) { return s.slice == rule.slice; });
  if (slice == evaluation.slices.end() || slice->windows == 0) {
    result.verdict = Verdict::kFail;
    result.explanation =
        absl::StrCat("the testing side has no windows of ", rule.slice, ", so nothing is proven");
    return result;
  }
  const bool absolute = rule.test == GateTest::kAtLeast;
  if (!absolute && evaluation.baseline_model.empty()) {
    result.verdict = Verdict::kFail;
    result.explanation = "there is no baseline model to compare with";
    return result;
  }
  const Side side = absolute ? Side::kModel : Side::kDifference;
  const Estimate estimate =
      EstimateMetric(slice->groups, slice->slice, rule.metric, side, 1 - 2 * rule.alpha);
  if (!estimate.defined) {
    result.verdict = Verdict::kFail;
    result.explanation = absl::StrFormat("no window of %s is labelled for %s, so nothing is proven",
                                         rule.slice, rule.metric);
    return result;
  }
  std::int64_t samples = 0;
  for (const Group& group : slice->groups) {
    samples += group.samples;
  }
  const std::size_t groups = slice->groups.size();
  const double bound = rule.test == GateTest::kSuperior   ? rule.margin
                       : rule.test == GateTest::kNotWorse ? -rule.margin
                                                          : rule.value;
  std::string numbers;
  if (absolute) {
    numbers = absl::StrFormat("%.4f", estimate.value);
  } else {
    const double model =
        EstimateMetric(slice->groups, slice->slice, rule.metric, Side::kModel, 0.95).value;
    numbers = absl::StrFormat("%.4f against %.4f, difference %+.4f", model, model - estimate.value,
                              estimate.value);
  }
  const std::string basis = absl::StrFormat("%d windows of %d samples of %d devices or people",
                                            slice->windows, samples, groups);
  if (!estimate.has_interval) {
    result.verdict = Verdict::kInconclusive;
    result.explanation =
        absl::StrFormat("%s over %s: an interval takes samples of at least %d devices or people",
                        numbers, basis, kLeastGroups);
    return result;
  }
  const Interval& interval = estimate.interval;
  const std::string with_interval =
      absl::StrFormat("%s, %.0f %% interval [%.4f, %.4f], bound %.4f, over %s", numbers,
                      100 * (1 - 2 * rule.alpha), interval.low, interval.high, bound, basis);
  if (interval.low > bound || (absolute && interval.low >= bound)) {
    result.verdict = Verdict::kPass;
    result.explanation = with_interval;
  } else if (interval.high < bound) {
    result.verdict = Verdict::kFail;
    result.explanation = with_interval;
  } else {
    result.verdict = Verdict::kInconclusive;
    result.explanation = absl::StrCat(
        with_interval, "; ", HowMuchMore(estimate.value, interval, bound, groups, samples));
  }
  if (!absolute) {
    absl::StrAppendFormat(
        &result.explanation,
        "; only the candidate right %d, only the champion right %d (McNemar mid-p %.2g)",
        slice->only_model_right, slice->only_baseline_right, slice->mcnemar_mid_p);
  }
  return result;
}

std::vector<GateResult> JudgeGate(const std::vector<GateRule>& gate, const Evaluation& evaluation) {
  std::vector<GateResult> results;
  results.reserve(gate.size());
  for (const GateRule& rule : gate) {
    results.push_back(JudgeRule(rule, evaluation));
  }
  return results;
}

Verdict Overall(const std::vector<GateResult>& results) {
  Verdict overall = Verdict::kPass;
  for (const GateResult& result : results) {
    if (result.verdict == Verdict::kFail) {
      return Verdict::kFail;
    }
    if (result.verdict == Verdict::kInconclusive) {
      overall = Verdict::kInconclusive;
    }
  }
  return overall;
}

}  // namespace fieldloop::evaluation
