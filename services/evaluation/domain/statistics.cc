// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

namespace fieldloop::evaluation {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr int kExactPairs = 50;

std::int64_t Sum(absl::Span<const std::int64_t> values) {
  return std::accumulate(values.begin(), values.end(), std::int64_t{0});
}

double ToDouble(std::int64_t value) { return static_cast<double>(value); }

// ln C(n, k).
double LogChoose(std::int64_t n, std::int64_t k) {
  return std::lgamma(ToDouble(n) + 1) - std::lgamma(ToDouble(k) + 1) -
         std::lgamma(ToDouble(n - k) + 1);
}

// P[X = k], X binomial (n, 1/2).
double FairBinomial(std::int64_t n, std::int64_t k) {
  return std::exp(LogChoose(n, k) - ToDouble(n) * std::log(2.0));
}

// Continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22).
double BetaFraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto away_from_zero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m <= 1000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    fraction *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-15) {
      break;
    }
  }
  return fraction;
}

// Regularised incomplete beta function I_x(a, b).
double RegularisedBeta(double a, double b, double x) {
  if (x <= 0 || x >= 1) {
    return x <= 0 ? 0 : 1;
  }
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  // The fraction converges fast below the mean only; above it, the symmetric one does.
  return x < (a + 1) / (a + b + 2) ? front * BetaFraction(a, b, x) / a
                                   : 1 - front * BetaFraction(b, a, 1 - x) / b;
}

// P[T >= sum] and P[T <= sum] for the signed-rank sum of `n` untied differences.
struct Tails {
  double upper = 0;
  double lower = 0;
};
Tails ExactSignedRankTails(int n, std::int64_t sum) {
  const std::size_t top = static_cast<std::size_t>(n) * (static_cast<std::size_t>(n) + 1) / 2;
  // share[s]: share of the 2^n sign patterns whose positive ranks sum to s.
  std::vector<double> share(top + 1, 0.0);
  share[0] = 1;
  for (std::size_t rank = 1; rank <= static_cast<std::size_t>(n); ++rank) {
    for (std::size_t s = top + 1; s-- > 0;) {
      share[s] = 0.5 * (share[s] + (s >= rank ? share[s - rank] : 0.0));
    }
  }
  Tails tails;
  for (std::size_t s = 0; s <= top; ++s) {
    if (static_cast<std::int64_t>(s) >= sum) {
      tails.upper += share[s];
    }
    if (static_cast<std::int64_t>(s) <= sum) {
      tails.lower += share[s];
    }
  }
  return tails;
}

}  // namespace

std::uint64_t RandomBelow(std::mt19937_64& engine, std::uint64_t bound) {
  const std::uint64_t limit =
      std::numeric_limits<std::uint64_t>::max() - std::numeric_limits<std::uint64_t>::max() % bound;
  std::uint64_t value = engine();
  while (value >= limit) {
    value = engine();
  }
  return value % bound;
}

double NormalCdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

double NormalQuantile(double p) {
  double low = -40;
  double high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    (NormalCdf(middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double Wasserstein1(absl::Span<const std::int64_t> a, absl::Span<const std::int64_t> b) {
  const double total_a = ToDouble(Sum(a));
  const double total_b = ToDouble(Sum(b));
  if (total_a <= 0 || total_b <= 0) {
    return 0;
  }
  double cumulated = 0;
  double distance = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    cumulated += ToDouble(a[i]) / total_a - ToDouble(b[i]) / total_b;
    distance += std::abs(cumulated);
  }
  return distance;
}

double MeanBin(absl::Span<const std::int64_t> histogram) {
  double sum = 0;
  double total = 0;
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    sum += static_cast<double>(i) * ToDouble(histogram[i]);
    total += ToDouble(histogram[i]);
  }
  return total > 0 ? sum / total : 0;
}

double PopulationStabilityIndex(absl::Span<const std::int64_t> recent,
                                absl::Span<const std::int64_t> baseline) {
  const double total_recent = ToDouble(Sum(recent));
  const double total_baseline = ToDouble(Sum(baseline));
  if (total_recent <= 0 || total_baseline <= 0) {
    return 0;
  }
  double psi = 0;
  for (std::size_t i = 0; i < std::min(recent.size(), baseline.size()); ++i) {
    const double p = std::max(ToDouble(recent[i]) / total_recent, 1e-4);
    const double q = std::max(ToDouble(baseline[i]) / total_baseline, 1e-4);
    psi += (p - q) * std::log(p / q);
  }
  return psi;
}

double StudentUpperTail(double t, double freedom) {
  const double tail = 0.5 * RegularisedBeta(0.5 * freedom, 0.5, freedom / (freedom + t * t));
  return t >= 0 ? tail : 1 - tail;
}

double McNemarExactP(std::int64_t only_first, std::int64_t only_second) {
  const std::int64_t n = only_first + only_second;
  const std::int64_t smaller = std::min(only_first, only_second);
  double tail = 0;
  for (std::int64_t k = 0; k <= smaller; ++k) {
    tail += FairBinomial(n, k);
  }
  return std::min(1.0, 2 * tail);
}

double McNemarMidP(std::int64_t only_first, std::int64_t only_second) {
  if (only_first == only_second) {
    return 1;
  }
  const std::int64_t n = only_first + only_second;
  const std::int64_t smaller = std::min(only_first, only_second);
  double tail = 0;
  for (std::int64_t k = 0; k <= smaller; ++k) {
    tail += FairBinomial(n, k);
  }
  return std::clamp(2 * tail - FairBinomial(n, smaller), 0.0, 1.0);
}

SignedRankResult WilcoxonSignedRank(absl::Span<const double> differences) {
  std::vector<double> values;
  for (const double difference : differences) {
    if (difference != 0) {
      values.push_back(difference);
    }
  }
  SignedRankResult result;
  result.pairs = static_cast<int>(values.size());
  if (values.empty()) {
    return result;
  }
  std::sort(values.begin(), values.end(),
            [](double a, double b) { return std::abs(a) < std::abs(b); });
  bool ties = false;
  double tie_term = 0;  // Sum over groups of t^3 - t.
  for (std::size_t i = 0; i < values.size();) {
    std::size_t end = i + 1;
    while (end < values.size() && std::abs(values[end]) == std::abs(values[i])) {
      ++end;
    }
    const double rank = 0.5 * static_cast<double>(i + 1 + end);
    const double size = static_cast<double>(end - i);
    ties = ties || end - i > 1;
    tie_term += size * size * size - size;
    for (; i < end; ++i) {
      result.positive_sum += values[i] > 0 ? rank : 0.0;
    }
  }
  const double n = static_cast<double>(values.size());
  if (!ties && result.pairs <= kExactPairs) {
    const Tails tails =
        ExactSignedRankTails(result.pairs, static_cast<std::int64_t>(result.positive_sum));
    result.p_greater = tails.upper;
    result.p_two_sided = std::min(1.0, 2 * std::min(tails.upper, tails.lower));
    return result;
  }
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - tie_term / 48;
  const double z = (result.positive_sum - n * (n + 1) / 4) / std::sqrt(variance);
  result.p_greater = NormalCdf(-z);
  result.p_two_sided = std::min(1.0, 2 * NormalCdf(-std::abs(z)));
  return result;
}

std::vector<bool> BenjaminiHochberg(absl::Span<const double> p_values, double q) {
  std::vector<double> sorted(p_values.begin(), p_values.end());
  std::sort(sorted.begin(), sorted.end());
  double limit = -1;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] <= q * static_cast<double>(i + 1) / static_cast<double>(sorted.size())) {
      limit = sorted[i];
    }
  }
  std::vector<bool> rejected;
  rejected.reserve(p_values.size());
  for (const double p : p_values) {
    rejected.push_back(p <= limit);
  }
  return rejected;
}

double AlphaAtLook(double total, int look) {
  const double k = look;
  return 0.5 * total * (6 / (kPi * kPi * k * k) + 1.0 / kLooksPerBudget);
}

double EstimatedAccuracy(absl::Span<const std::int64_t> confidence_bins,
                         absl::Span<const double> bin_accuracy) {
  double sum = 0;
  double total = 0;
  for (std::size_t i = 0; i < std::min(confidence_bins.size(), bin_accuracy.size()); ++i) {
    sum += ToDouble(confidence_bins[i]) * bin_accuracy[i];
    total += ToDouble(confidence_bins[i]);
  }
  return total > 0 ? sum / total : 0;
}

Interval PercentileInterval(std::vector<double>& values, double confidence) {
  std::sort(values.begin(), values.end());
  const auto at = [&values](double share) {
    const double position = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] +
           (position - static_cast<double>(below)) * (values[above] - values[below]);
  };
  const double tail = 0.5 * (1 - confidence);
  return {.low = at(tail), .high = at(1 - tail)};
}

}  // namespace fieldloop::evaluation
