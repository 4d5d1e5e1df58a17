// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#ifndef FIELDLOOP_SERVICES_EVALUATION_DOMAIN_STATISTICS_H_
#define FIELDLOOP_SERVICES_EVALUATION_DOMAIN_STATISTICS_H_

#include <cstdint>
#include <random>
#include <vector>

#include "absl/types/span.h"

namespace fieldloop::evaluation {

// Pure functions; docs/drift.md says where each is used. Every random draw comes from an engine
// that the caller seeds, and goes through RandomBelow, so that results are the same on every
// platform.

// Uniform in [0, bound); `bound` at least 1. Rejection, so without modulo bias.
std::uint64_t RandomBelow(std::mt19937_64& engine, std::uint64_t bound);

// Standard normal distribution function, 0.5 erfc(-z / sqrt 2).
double NormalCdf(double z);
// Its inverse, by bisection to the last bit that matters; `p` in (0, 1).
double NormalQuantile(double p);

// Counts over the same bins. All counts at least 0.
using Histogram = std::vector<std::int64_t>;

// Wasserstein-1 distance between two histograms with bins one apart: the sum over bins of |F - G|,
// F and G the cumulated shares. In bins. 0 when either is empty.
double Wasserstein1(absl::Span<const std::int64_t> a, absl::Span<const std::int64_t> b);
// Mean index of the bin; 0 when empty.
double MeanBin(absl::Span<const std::int64_t> histogram);
// Population stability index, sum (p - q) ln(p / q), every share raised to at least 1e-4 first. For
// people only: without any drift it is about (1/n + 1/m) chi2(bins - 1), so no fixed limit is
// right.
double PopulationStabilityIndex(absl::Span<const std::int64_t> recent,
                                absl::Span<const std::int64_t> baseline);
// Upper tail P[T > t] of Student's t with `freedom` degrees of freedom: half the regularised
// incomplete beta function I_x(freedom / 2, 1 / 2) at x = freedom / (freedom + t^2), by its
// continued fraction.
double StudentUpperTail(double t, double freedom);

// Two-sided p of McNemar's exact test on discordant pairs: min(1, 2 P[X <= min(b, c)]), X binomial
// (b + c, 1/2). 1 without discordant pairs.
double McNemarExactP(std::int64_t only_first, std::int64_t only_second);
// The mid-p version: exact p less P[X = min(b, c)] (Fagerland, Lydersen, Laake 2013); 1 when b = c.
double McNemarMidP(std::int64_t only_first, std::int64_t only_second);

struct SignedRankResult {
  int pairs = 0;            // Differences that are not zero.
  double positive_sum = 0;  // Sum of the ranks of positive differences.
  double p_two_sided = 1;
  double p_greater = 1;  // That differences are above zero.
};
// Wilcoxon's signed-rank test. Zeros are dropped (Wilcoxon 1945). Exact distribution by counting
// subsets for at most 50 differences without ties; with ties or beyond, the normal approximation
// with tie correction and without continuity correction.
SignedRankResult WilcoxonSignedRank(absl::Span<const double> differences);

// Benjamini and Hochberg 1995: true for each hypothesis rejected at false discovery rate `q`.
std::vector<bool> BenjaminiHochberg(absl::Span<const double> p_values, double q);

// What one look of a sequence may spend of `total`: total/2 (6 / (pi^2 look^2) +
// 1/kLooksPerBudget). Over any kLooksPerBudget looks in a row this sums to at most `total`: the
// first term, which gives the first looks power, sums to total/2 over all looks there will ever be;
// the second, which keeps an old model from going blind, sums to total/2 in each run. `look` counts
// from 1.
inline constexpr int kLooksPerBudget = 288;
double AlphaAtLook(double total, int look);

// CBPE: sum over bins of (share of the windows) x (accuracy of that bin in the reference). Sizes
// must agree; 0 for an empty histogram.
double EstimatedAccuracy(absl::Span<const std::int64_t> confidence_bins,
                         absl::Span<const double> bin_accuracy);

struct Interval {
  double low = 0;
  double high = 0;
};
// Percentile interval of bootstrap values, by linear interpolation between order statistics
// (Hyndman and Fan type 7); `values` must not be empty and is sorted in place.
Interval PercentileInterval(std::vector<double>& values, double confidence);

}  // namespace fieldloop::evaluation

#endif  // FIELDLOOP_SERVICES_EVALUATION_DOMAIN_STATISTICS_H_
