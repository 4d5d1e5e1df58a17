// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/resource/resource_name.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ParseResourceNameTest, GivesWhatTheStarsStandFor) {
  EXPECT_THAT(*ParseResourceName("name", "projects/*/devices/*", "projects/motor/devices/a.B_1-x"),
              ElementsAre("motor", "a.B_1-x"));
}

TEST(ParseResourceNameTest, RefusesWhatDoesNotMatchAndNamesTheField) {
  for (const std::string& bad :
       {std::string(), std::string("projects/motor"), std::string("projects/motor/devices/"),
        std::string("projects/motor/devices/a/b"), std::string("projects//devices/a"),
        std::string("projects/motor/models/a"), std::string("projects/mo tor/devices/a"),
        "projects/motor/devices/" + std::string(64, 'a'), std::string("/projects/motor/devices/a"),
        std::string("projects/motor/devices/..%2f")}) {
    const absl::Status status =
        ParseResourceName("device.name", "projects/*/devices/*", bad).status();
    EXPECT_THAT(status, StatusIs(kInvalid)) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("device.name: ")) << bad;
  }
}

TEST(ParseResourceNameTest, AnErrorShowsControlCharactersEscaped) {
  const absl::Status status = ParseResourceName("name", "projects/*", "projects/a\nb").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("a\\nb"));
}

TEST(ProjectOfTest, IsTheFirstTwoSegments) {
  EXPECT_EQ(*ProjectOf("projects/motor/models/7"), "projects/motor");
  EXPECT_EQ(*ProjectOf("projects/motor"), "projects/motor");
  EXPECT_EQ(*ProjectOf(""), "");
  for (const char* bad : {"projects", "projects/", "devices/motor", "projects/ /x"}) {
    EXPECT_THAT(ProjectOf(bad), StatusIs(kInvalid)) << bad;
  }
}

TEST(ValidateIdTest, HasTwoToThirtyNineCharactersAndStartsWithALetter) {
  for (const std::string& good : {std::string("ab"), std::string("a-1"), std::string(39, 'z')}) {
    EXPECT_THAT(ValidateId("id", good), IsOk()) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("a"), std::string("1a"), std::string("-a"), std::string("aB"),
        std::string("a_b"), std::string("a.b"), std::string(40, 'z')}) {
    EXPECT_THAT(ValidateId("id", bad), StatusIs(kInvalid)) << bad;
  }
}

TEST(PageSizeTest, HasADefaultAndALimit) {
  EXPECT_EQ(*PageSize(0), 50);
  EXPECT_EQ(*PageSize(1), 1);
  EXPECT_EQ(*PageSize(1000), 1000);
  EXPECT_EQ(*PageSize(2'000'000'000), 1000);
  EXPECT_THAT(PageSize(-1), StatusIs(kInvalid));
}

TEST(PageTokenTest, ComesBackAsItsKey) {
  for (const std::string& key : {std::string(), std::string("dev-1"), std::string("a\0b", 3)}) {
    EXPECT_EQ(*DecodePageToken(EncodePageToken(key)), key);
  }
  EXPECT_NE(EncodePageToken(""), "");
  EXPECT_EQ(*DecodePageToken(""), "");
  EXPECT_THAT(DecodePageToken("%%"), StatusIs(kInvalid));
  EXPECT_THAT(DecodePageToken("AAAA"), StatusIs(kInvalid));
}

}  // namespace
}  // namespace fieldloop
