// Copyright the Fieldloop authors.
// SPDX-License-Identifier: Apache-2.0

#include "services/common/zip/zip_archive.h"

#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace fieldloop {
namespace {

using testing::IsOk;
using testing::StatusIs;

const std::vector<ZipEntry>& Files() {
  static const std::vector<ZipEntry> files = {{.name = "b.txt", .content = "two"},
                                              {.name = "a.bin", .content = std::string(300, '\0')},
                                              {.name = "empty", .content = ""}};
  return files;
}

TEST(ZipArchive, WhatIsPackedComesBack) {
  const auto archive = PackZip(Files());
  ASSERT_THAT(archive, IsOk());
  const auto files = UnpackZip(*archive);
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(*files, Files());
}

TEST(ZipArchive, TheSameFilesGiveTheSameBytesInEveryTimeZone) {
  const auto first = PackZip(Files());
  ASSERT_THAT(first, IsOk());
  setenv("TZ", "Asia/Tokyo", 1);
  tzset();
  const auto second = PackZip(Files());
  unsetenv("TZ");
  tzset();
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(*first, *second);
}

TEST(ZipArchive, FilesAreStoredAsTheyAre) {
  EXPECT_NE(PackZip(Files())->find(std::string(300, '\0')), std::string::npos);
}

TEST(ZipArchive, TwoFilesOfOneNameAreRefused) {
  EXPECT_THAT(PackZip({{.name = "a", .content = "1"}, {.name = "a", .content = "2"}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ZipArchive, WhatIsNoWholeArchiveIsRefused) {
  EXPECT_THAT(UnpackZip("not an archive"), StatusIs(absl::StatusCode::kInvalidArgument));
  std::string archive = *PackZip(Files());
  EXPECT_THAT(UnpackZip(archive.substr(0, archive.size() - 9)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  archive[archive.find("two")] = 'T';
  EXPECT_THAT(UnpackZip(archive), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fieldloop
