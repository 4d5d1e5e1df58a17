// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/evaluation/domain/statistics.h"

#include <cmath>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fieldloop::evaluation {
namespace {

// Reference values: SciPy 1.17.1 and statsmodels 0.15.0; each test names the call that made them.

TEST(Wasserstein1Test, AgreesWithScipy) {
  // scipy.stats.wasserstein_distance(range(6), range(6), a, b)
  const Histogram a = {5, 0, 3, 12, 20, 7};
  const Histogram b = {10, 4, 6, 6, 10, 20};
  EXPECT_NEAR(Wasserstein1(a, b), 0.6496960486322187, 1e-14);
  EXPECT_EQ(Wasserstein1(a, a), 0);
  EXPECT_EQ(Wasserstein1(a, Histogram(6, 0)), 0);
}

TEST(Wasserstein1Test, AShiftByTwoBinsIsTwo) {
  EXPECT_DOUBLE_EQ(Wasserstein1(Histogram{0, 0, 5, 5, 0}, Histogram{5, 5, 0, 0, 0}), 2);
}

TEST(McNemarTest, AgreesWithStatsmodels) {
  // statsmodels.stats.contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue, and for
  // mid-p less scipy.stats.binom.pmf(min(b, c), b + c, 0.5).
  EXPECT_NEAR(McNemarExactP(10, 25), 0.016673847800120715, 1e-12);
  EXPECT_NEAR(McNemarMidP(10, 25), 0.011330984183587134, 1e-12);
  EXPECT_NEAR(McNemarExactP(0, 6), 0.03125, 1e-14);
  EXPECT_NEAR(McNemarMidP(0, 6), 0.015625, 1e-14);
  EXPECT_NEAR(McNemarExactP(40, 61), 0.046044066929342785, 1e-12);
  EXPECT_NEAR(McNemarMidP(61, 40), 0.0370667674385605, 1e-12);
  EXPECT_NEAR(McNemarExactP(1200, 1400), 9.44223476534101e-05, 1e-13);
  EXPECT_NEAR(McNemarMidP(1200, 1400), 8.731560155857718e-05, 1e-13);
  EXPECT_EQ(McNemarExactP(3, 3), 1);
  EXPECT_EQ(McNemarMidP(3, 3), 1);
  EXPECT_EQ(McNemarMidP(0, 0), 1);
}

TEST(WilcoxonTest, SmallSamplesAreExact) {
  // scipy.stats.wilcoxon(x, alternative=..., method="exact")
  const std::vector<double> x = {1.5, -0.3, 2.2, 0.7, -1.1, 3.1, 0.2, 1.9};
  const SignedRankResult result = WilcoxonSignedRank(x);
  EXPECT_EQ(result.positive_sum, 30);
  EXPECT_NEAR(result.p_two_sided, 0.109375, 1e-14);
  EXPECT_NEAR(result.p_greater, 0.0546875, 1e-14);
}

TEST(WilcoxonTest, TiesUseTheNormalApproximation) {
  // scipy.stats.wilcoxon(y, alternative=..., method="approx", correction=False)
  const std::vector<double> y = {1, 1, -1, 2, 3, -2, 4, 5, 5, -6, 0, 7, 8, 2, 3};
  const SignedRankResult result = WilcoxonSignedRank(y);
  EXPECT_EQ(result.pairs, 14);
  EXPECT_NEAR(result.p_two_sided, 0.03501272509827664, 1e-12);
  EXPECT_NEAR(result.p_greater, 0.01750636254913832, 1e-12);
}

TEST(WilcoxonTest, LargeSamplesUseTheNormalApproximation) {
  // z = [((i * 37) % 101 - 40) / 7 + 0.001 * i for i in range(60)]; as above.
  std::vector<double> z;
  for (int i = 0; i < 60; ++i) {
    z.push_back(((i * 37) % 101 - 40) / 7.0 + 0.001 * i);
  }
  const SignedRankResult result = WilcoxonSignedRank(z);
  EXPECT_EQ(result.positive_sum, 1228);
  EXPECT_NEAR(result.p_two_sided, 0.02121244381192546, 1e-12);
  EXPECT_NEAR(result.p_greater, 0.01060622190596273, 1e-12);
}

TEST(WilcoxonTest, NoDifferenceAtAllSaysNothing) {
  EXPECT_EQ(WilcoxonSignedRank(std::vector<double>{0, 0, 0}).p_greater, 1);
}

TEST(BenjaminiHochbergTest, AgreesWithStatsmodels) {
  // statsmodels.stats.multitest.multipletests(p, q, "fdr_bh")[0].sum()
  const std::vector<double> p = {0.001, 0.008, 0.039, 0.041, 0.042, 0.06,  0.074, 0.205, 0.212,
                                 0.216, 0.222, 0.251, 0.269, 0.275, 0.34,  0.341, 0.384, 0.569,
                                 0.594, 0.696, 0.762, 0.94,  0.942, 0.975, 0.986};
  const auto rejected = [&p](double q) {
    int count = 0;
    for (const bool is_rejected : BenjaminiHochberg(p, q)) {
      count += is_rejected ? 1 : 0;
    }
    return count;
  };
  EXPECT_EQ(rejected(0.05), 1);
  EXPECT_EQ(rejected(0.25), 6);
}

TEST(BenjaminiHochbergTest, KeepsTheOrderOfTheHypotheses) {
  EXPECT_THAT(BenjaminiHochberg(std::vector<double>{0.9, 0.001, 0.02}, 0.05),
              ::testing::ElementsAre(false, true, true));
}

TEST(StudentTest, AgreesWithScipy) {
  // scipy.stats.t.sf(t, df)
  EXPECT_NEAR(StudentUpperTail(2.5, 3), 0.04385332350403278, 1e-13);
  EXPECT_NEAR(StudentUpperTail(10, 8), 4.2440907638142445e-06, 1e-17);
  EXPECT_NEAR(StudentUpperTail(-1, 5), 0.8183912661754386, 1e-13);
  EXPECT_NEAR(StudentUpperTail(0.3, 1), 0.4072264209222577, 1e-13);
}

TEST(NormalTest, AgreesWithScipy) {
  // scipy.stats.norm.ppf, .cdf
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-12);
  EXPECT_NEAR(NormalQuantile(0.001), -3.090232306167813, 1e-12);
  EXPECT_NEAR(NormalCdf(-3.3), 0.00048342414238377744, 1e-15);
}

TEST(PercentileIntervalTest, AgreesWithNumpy) {
  // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [2.5, 97.5])
  std::vector<double> values = {3, 1, 4, 1, 5, 9, 2, 6};
  const Interval interval = PercentileInterval(values, 0.95);
  EXPECT_NEAR(interval.low, 1.0, 1e-12);
  EXPECT_NEAR(interval.high, 8.475, 1e-12);
}

TEST(AlphaAtLookTest, AnyRunOfLooksSpendsAtMostTheTotal) {
  for (const int first : {1, 2, 100, 5000}) {
    double spent = 0;
    for (int look = first; look < first + kLooksPerBudget; ++look) {
      spent += AlphaAtLook(0.01, look);
    }
    EXPECT_LE(spent, 0.01) << "from look " << first;
  }
}

TEST(AlphaAtLookTest, NeverFallsSoLowThatAFleetOf24CannotAlarm) {
  // 2^-24 is the smallest p of 24 devices; two channels.
  EXPECT_GT(AlphaAtLook(0.01, 1'000'000), 2 * std::pow(2.0, -24));
}

TEST(EstimatedAccuracyTest, WeighsTheAccuracyOfEachBin) {
  EXPECT_DOUBLE_EQ(EstimatedAccuracy(Histogram{10, 30, 60}, std::vector<double>{0.5, 0.8, 1.0}),
                   0.89);
  EXPECT_EQ(EstimatedAccuracy(Histogram{0, 0}, std::vector<double>{0.5, 0.8}), 0);
}

TEST(PopulationStabilityIndexTest, IsTheSumOfWeightedLogRatios) {
  // (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln(2 / 3)
  EXPECT_NEAR(PopulationStabilityIndex(Histogram{50, 50}, Histogram{25, 75}),
              0.25 * std::log(2.0) - 0.25 * std::log(2.0 / 3), 1e-14);
}

TEST(RandomBelowTest, IsTheSameOnEveryPlatform) {
  std::mt19937_64 engine(1);
  std::vector<std::uint64_t> drawn;
  for (int i = 0; i < 4; ++i) {
    drawn.push_back(RandomBelow(engine, 1000));
  }
  std::mt19937_64 plain(1);
  std::vector<std::uint64_t> expected;
  for (int i = 0; i < 4; ++i) {
    expected.push_back(plain() % 1000);  // Nothing is rejected here.
  }
  EXPECT_EQ(drawn, expected);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 200; ++i) {
    seen.insert(RandomBelow(engine, 3));
  }
  EXPECT_EQ(seen.size(), 3U);
}

}  // namespace
}  // namespace fieldloop::evaluation
