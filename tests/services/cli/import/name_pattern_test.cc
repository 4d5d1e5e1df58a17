// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/import/name_pattern.h"

#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::Pair;

NamePattern Pattern(const std::string& text) {
  auto pattern = NamePattern::Parse(text);
  EXPECT_THAT(pattern, IsOk()) << text;
  return *std::move(pattern);
}

TEST(NamePatternTest, FieldsComeFromTheNameWithoutItsEnding) {
  const auto fields = Pattern("{label}_{speaker}_{index}").Match("a/b_c/7_theo_12.wav");
  ASSERT_TRUE(fields.has_value());
  EXPECT_THAT(*fields,
              ElementsAre(Pair("index", "12"), Pair("label", "7"), Pair("speaker", "theo")));
}

TEST(NamePatternTest, ASlashMakesItAPatternOfThePath) {
  const NamePattern pattern = Pattern("{person}/{_}_{run}_{device}");
  const auto fields = pattern.Match("s01/s01_03_sp.csv");
  ASSERT_TRUE(fields.has_value());
  EXPECT_THAT(*fields, ElementsAre(Pair("device", "sp"), Pair("person", "s01"), Pair("run", "03")));
  EXPECT_FALSE(pattern.Match("s01_03_sp.csv").has_value());
  EXPECT_FALSE(pattern.Match("x/s01/s01_03_sp.csv").has_value());
}

TEST(NamePatternTest, WhatIsNoFieldStandsForItself) {
  const NamePattern pattern = Pattern("a.(b)+{x}");
  EXPECT_TRUE(pattern.Match("a.(b)+1.csv").has_value());
  EXPECT_FALSE(pattern.Match("aX(b)+1.csv").has_value());
  EXPECT_FALSE(pattern.Match("a.bb1.csv").has_value());
}

TEST(NamePatternTest, ABrokenPatternIsRefused) {
  for (const char* bad : {"", "label", "{label", "{}", "{a}{a}", "{a b}"}) {
    EXPECT_THAT(NamePattern::Parse(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(FieldRuleTest, ComparesNumbersAsNumbersAndTextsAsTexts) {
  const std::map<std::string, std::string> fields = {{"index", "10"}, {"person", "s01"}};
  const std::map<std::string, bool> cases = {
      {"index<5", false},        {"index<11", true},       {"index<=10", true},
      {"index>9", true},         {"index>=11", false},     {"index=10.0", true},
      {"index=1,2", false},      {"person=s02,s01", true}, {"person!=s01", false},
      {"person!=s02,s03", true}, {"person<5", false},      {"missing=1", false},
      {"missing!=1", false},
  };
  for (const auto& [text, holds] : cases) {
    const auto rule = FieldRule::Parse("--testing", text);
    ASSERT_THAT(rule, IsOk()) << text;
    EXPECT_EQ(rule->Holds(fields), holds) << text;
  }
}

TEST(FieldRuleTest, ABrokenRuleIsRefusedWithItsFlag) {
  for (const char* bad : {"", "index", "index<", "<5", "index<x", "index<1,2", "index!5"}) {
    EXPECT_THAT(FieldRule::Parse("--testing", bad), StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
  EXPECT_EQ(FieldRule::Parse("--testing", "x").status().message(),
            "--testing: got \"x\", want a rule such as index<5 or person=s01,s02");
}

}  // namespace
}  // namespace fieldloop::cli
