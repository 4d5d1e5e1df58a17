// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/ingestion/domain/agreement.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace fieldloop::ingestion {
namespace {

// Ratings of samples "s000", "s001", ..., one column for each labeller; "" is none.
std::vector<Rating> RatingsOf(const std::vector<std::vector<std::string>>& by_labeller) {
  std::vector<Rating> ratings;
  for (std::size_t sample = 0; sample < by_labeller[0].size(); ++sample) {
    for (std::size_t labeller = 0; labeller < by_labeller.size(); ++labeller) {
      if (!by_labeller[labeller][sample].empty()) {
        ratings.push_back({.sample_id = absl::StrCat("s", absl::Dec(sample, absl::kZeroPad3)),
                           .labeller = std::string(1, static_cast<char>('a' + labeller)),
                           .label = by_labeller[labeller][sample]});
      }
    }
  }
  return ratings;
}

// Two labellers and how often each pair of labels was given.
std::vector<Rating> RatingsOfTable(const std::vector<std::vector<int>>& table) {
  std::vector<std::vector<std::string>> columns(2);
  for (std::size_t first = 0; first < table.size(); ++first) {
    for (std::size_t second = 0; second < table.size(); ++second) {
      for (int i = 0; i < table[first][second]; ++i) {
        columns[0].push_back(absl::StrCat("label", first));
        columns[1].push_back(absl::StrCat("label", second));
      }
    }
  }
  return RatingsOf(columns);
}

TEST(Agreement, KappaIsThatOfCohensOwnExample) {
  // Cohen 1960, table 1: 200 patients, proportions times 200; p_o 0.70, p_e 0.41, kappa 0.492.
  const Agreement agreement = AgreementOf(RatingsOfTable({{88, 14, 18}, {10, 40, 10}, {2, 6, 12}}));
  ASSERT_EQ(agreement.pairs.size(), 1U);
  EXPECT_EQ(agreement.pairs[0].samples, 200);
  EXPECT_NEAR(agreement.pairs[0].agreement, 0.70, 1e-12);
  ASSERT_TRUE(agreement.pairs[0].kappa.has_value());
  EXPECT_NEAR(*agreement.pairs[0].kappa, (0.70 - 0.41) / (1 - 0.41), 1e-12);
}

TEST(Agreement, KappaOfTwoByTwoComputedByHand) {
  // p_o = 35/50, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
  const Agreement agreement = AgreementOf(RatingsOfTable({{20, 5}, {10, 15}}));
  EXPECT_NEAR(*agreement.pairs[0].kappa, 0.4, 1e-12);
}

TEST(Agreement, AlphaIsThatOfKrippendorffsExampleWithMissingData) {
  // Krippendorff 2011, section C: four observers, twelve units, nominal alpha 0.743.
  const std::string none;
  const Agreement agreement =
      AgreementOf(RatingsOf({{"1", "2", "3", "3", "2", "1", "4", "1", "2", none, none, none},
                             {"1", "2", "3", "3", "2", "2", "4", "1", "2", "5", none, "3"},
                             {none, "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", none},
                             {"1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", none}}));
  EXPECT_EQ(agreement.samples, 11);  // The last unit has one value.
  ASSERT_TRUE(agreement.alpha.has_value());
  EXPECT_NEAR(*agreement.alpha, 0.743, 0.0005);
  EXPECT_EQ(agreement.pairs.size(), 6U);
  EXPECT_THAT(agreement.disagreeing, ::testing::ElementsAre("s001", "s005", "s007"));
}

TEST(Agreement, AlphaOfTwoObserversWithBinaryData) {
  // Krippendorff 2011, section A: ten units, alpha 0.095.
  const Agreement agreement =
      AgreementOf(RatingsOf({{"0", "1", "0", "0", "0", "0", "0", "0", "1", "0"},
                             {"1", "1", "1", "0", "0", "1", "0", "0", "0", "0"}}));
  EXPECT_NEAR(*agreement.alpha, 0.095, 0.0005);
}

TEST(Agreement, WithOneLabelInUseNothingCanBeSaid) {
  const Agreement agreement = AgreementOf(RatingsOf({{"x", "x"}, {"x", "x"}}));
  EXPECT_EQ(agreement.samples, 2);
  EXPECT_FALSE(agreement.alpha.has_value());
  ASSERT_EQ(agreement.pairs.size(), 1U);
  EXPECT_EQ(agreement.pairs[0].agreement, 1);
  EXPECT_FALSE(agreement.pairs[0].kappa.has_value());
}

TEST(Agreement, LabellersWhoNeverAgreeHaveAKappaBelowZero) {
  const Agreement agreement = AgreementOf(RatingsOf({{"x", "y"}, {"y", "x"}}));
  EXPECT_NEAR(*agreement.pairs[0].kappa, -1, 1e-12);
}

TEST(Agreement, PairsAreThoseWithSamplesInCommon) {
  const Agreement agreement = AgreementOf(
      RatingsOf({{"x", "y", "", ""}, {"x", "x", "y", "y"}, {"", "", "y", ""}, {"", "", "", "z"}}));
  std::vector<std::string> names;
  for (const PairAgreement& pair : agreement.pairs) {
    names.push_back(pair.first + pair.second);
  }
  EXPECT_THAT(names, ::testing::ElementsAre("ab", "bc", "bd"));
}

TEST(Agreement, NoRatingsAreNoAgreement) {
  const Agreement agreement = AgreementOf({});
  EXPECT_EQ(agreement.samples, 0);
  EXPECT_FALSE(agreement.alpha.has_value());
  EXPECT_TRUE(agreement.pairs.empty());
}

}  // namespace
}  // namespace fieldloop::ingestion
