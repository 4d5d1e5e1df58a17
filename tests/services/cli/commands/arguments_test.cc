// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/cli/commands/arguments.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/services/common/temporary_folder.h"
#include "tests/support/status_matchers.h"

namespace fieldloop::cli {
namespace {

using ::fieldloop::testing::IsOk;
using ::fieldloop::testing::StatusIs;
using ::fieldloop::testing::TemporaryFolder;
using ::testing::HasSubstr;

TEST(ArgumentsTest, APairSplitsAtItsFirstEqualsSign) {
  const auto pairs = KeyValues("--metadata", {"site=a=b", "empty="});
  ASSERT_THAT(pairs, IsOk());
  EXPECT_EQ(pairs->at("site"), "a=b");
  EXPECT_EQ(pairs->at("empty"), "");
}

TEST(ArgumentsTest, AWordWithoutEqualsSignIsRefusedWithItsFlag) {
  const auto pairs = KeyValues("--attribute", {"share"});
  EXPECT_THAT(pairs, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(pairs.status().message(), "--attribute: got \"share\", want key=value");
}

TEST(ArgumentsTest, DurationsHaveUnitsUpToDays) {
  EXPECT_EQ(*DurationOf("--expires", "30d"), absl::Hours(24 * 30));
  EXPECT_EQ(*DurationOf("--expires", "90s"), absl::Seconds(90));
  for (const char* bad : {"", "90", "-1h", "0s", "d", "soon"}) {
    EXPECT_THAT(DurationOf("--expires", bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(ArgumentsTest, TimesAreTakenAsTheTablesAndTheJsonPrintThem) {
  const absl::Time noon = absl::FromUnixSeconds(1'769'860'800);  // 2026-01-31 12:00:00 UTC.
  EXPECT_EQ(*TimeOf("--at", "2026-01-31T12:00:00Z"), noon);
  EXPECT_EQ(*TimeOf("--at", "2026-01-31T13:00:00+01:00"), noon);
  EXPECT_EQ(*TimeOf("--at", "2026-01-31T12:00:00.25Z"), noon + absl::Milliseconds(250));
  EXPECT_EQ(*TimeOf("--at", "2026-01-31 12:00:00"), noon);
  EXPECT_EQ(*TimeOf("--at", "2026-01-31"), noon - absl::Hours(12));
  for (const char* bad : {"", "yesterday", "31.1.2026", "2026-02-31"}) {
    EXPECT_THAT(TimeOf("--at", bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(ArgumentsTest, AFileIsWrittenWholeWithItsMode) {
  const TemporaryFolder folder;
  const std::string path = folder / "secret";
  ASSERT_THAT(WriteFile(path, "secret\n", 0600), IsOk());
  EXPECT_EQ(*ReadFile(path), "secret\n");
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(ArgumentsTest, AFileThatCannotBeReadIsNamed) {
  const auto content = ReadFile("/nonexistent/recipe.json");
  EXPECT_THAT(content, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(content.status().message()), HasSubstr("/nonexistent/recipe.json"));
}

}  // namespace
}  // namespace fieldloop::cli
